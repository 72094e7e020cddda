"""The documentation page at `/docs`: one self-contained file that shows `/schema/openapi.json`.

Nothing is loaded from elsewhere, and the policy that goes with the page forbids it: it names the page's own
script and style by their digests.
"""

import base64
import hashlib

from litestar import Response, get

from api.http.policy import Policy, needs

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1c2733 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccd }
details { border: 1px solid #dde; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code, pre { font: 13px/1.5 ui-monospace, monospace }
pre { background: #f4f6f9; border-radius: 6px; overflow: auto; padding: .6rem }
table { border-collapse: collapse; width: 100% } td, th { border-top: 1px solid #dde; padding: .2rem .5rem }
td, th { text-align: left; vertical-align: top } b.m { display: inline-block; width: 4.5rem } .r { color: #b3261e }
"""

_SCRIPT = """
const make = (tag, text, ...children) => {
  const node = document.createElement(tag); node.textContent = text ?? ''; node.append(...children); return node
}
const table = (head, rows) => make('table', '', make('tr', '', ...head.map(h => make('th', h))),
  ...rows.map(cells => make('tr', '', ...cells.map(c => make('td', c)))))
let components = {}, responses = {}
const named = schema => schema?.$ref ? schema.$ref.split('/').pop() : null
const resolve = schema => schema?.$ref ? components[named(schema)] ?? {} : schema ?? {}
function kind(schema) {
  if (!schema) return ''
  if (schema.$ref) return named(schema)
  const choices = schema.oneOf ?? schema.anyOf
  if (choices) return choices.map(kind).join(' | ')
  if (schema.type === 'array') return kind(schema.items) + '[]'
  const bounds = ['minLength', 'maxLength', 'minimum', 'maximum', 'pattern', 'format', 'maxItems']
    .filter(k => schema[k] !== undefined).map(k => k + ' ' + schema[k])
  const words = (schema.enum?.map(v => JSON.stringify(v)) ?? [schema.type ?? 'any'].flat()).join(' | ')
  return words + (bounds.length ? ' (' + bounds.join(', ') + ')' : '')
}
function fields(schema) {
  let own = resolve(schema)
  if (own.type === 'array') own = resolve(own.items)
  const rows = Object.entries(own.properties ?? {}).map(([name, s]) =>
    [name + (own.required?.includes(name) ? ' *' : ''), kind(s), s.description ?? ''])
  return rows.length ? table(['field', 'type', ''], rows) : make('p', kind(schema))
}
const content = part => Object.values(part?.content ?? {})[0]?.schema
function operation(path, method, op) {
  const node = make('details', '', make('summary', '', Object.assign(make('b', method.toUpperCase()), {className: 'm'}),
    make('code', path), make('span', ' \\u2014 ' + (op.summary ?? ''))))
  node.id = op.operationId
  if (op.description) node.append(make('p', op.description))
  if (op.parameters?.length) node.append(make('h4', 'Parameters'), table(['name', 'in', 'type', ''],
    op.parameters.map(p => [p.name + (p.required ? ' *' : ''), p.in, kind(p.schema), p.description ?? ''])))
  if (op.requestBody) node.append(make('h4', 'Body: ' + kind(content(op.requestBody))), fields(content(op.requestBody)))
  node.append(make('h4', 'Answers'))
  for (const [status, given] of Object.entries(op.responses)) {
    const answer = given.$ref ? responses[named(given)] : given
    const schema = content(answer)
    node.append(make('p', status + ' ' + (answer.description ?? '') + (schema ? ' \\u2014 ' + kind(schema) : '')))
    if (schema && status < 300) node.append(fields(schema))
  }
  return node
}
fetch('/schema/openapi.json').then(answer => answer.json()).then(api => {
  ({ schemas: components, responses } = api.components)
  const groups = {}
  for (const [path, item] of Object.entries(api.paths))
    for (const [method, op] of Object.entries(item))
      (groups[op.tags?.[0] ?? 'Other'] ??= []).push(operation(path, method, op))
  document.title = api.info.title
  const main = document.querySelector('main')
  main.replaceChildren(make('h1', api.info.title + ' ' + api.info.version), make('p', api.info.description))
  for (const group of Object.keys(groups).sort()) main.append(make('h2', group), ...groups[group])
  main.append(make('h2', 'Structures'), ...Object.keys(components).sort().map(name =>
    make('details', '', make('summary', name), make('p', components[name].description), fields(components[name]))))
}).catch(error => { document.querySelector('main').textContent = 'The document cannot be shown: ' + error })
"""

PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>API</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head>
<body><main>Loading…</main><script>{_SCRIPT}</script></body></html>
"""


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_POLICY = (
    f"default-src 'none'; script-src {_digest(_SCRIPT)}; style-src {_digest(_STYLE)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@get("/docs", opt=needs(Policy.PUBLIC), include_in_schema=False, sync_to_thread=False)
def docs_page() -> Response[str]:
    """The page."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": CONTENT_POLICY})
