"""The documentation page at `/docs`: one self-contained file that shows `/schema/openapi.json`, searches it, and asks
the API what a reader wants to try.

Nothing is loaded from elsewhere, and the policy that goes with the page forbids it: it names the page's own
script and style by their digests, and nothing that is shown becomes markup. Why no other viewer:
decision 46. The token is in the page's memory alone. It is got by the cookie of the page at `/ui`, where one signs in.
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
header { position: sticky; top: 0; background: #fff; padding: .5rem 0; display: flex; flex-wrap: wrap; gap: .5rem }
input, textarea, button { font: inherit; padding: .2rem .5rem } input[type=search] { flex: 1 }
textarea { width: 100%; box-sizing: border-box; font: 13px/1.5 ui-monospace, monospace } [hidden] { display: none }
label { display: block; margin: .3rem 0 } label > code { display: inline-block; min-width: 12rem }
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
  let shown = false
  node.addEventListener('toggle', () => { if (!shown) node.append(trial(path, method, op)); shown = true })
  node.said = [method, path, op.operationId, op.summary, op.description, ...(op.parameters ?? []).map(p => p.name)]
    .join(' ').toLowerCase()
  for (const [status, given] of Object.entries(op.responses)) {
    const answer = given.$ref ? responses[named(given)] : given
    const schema = content(answer)
    node.append(make('p', status + ' ' + (answer.description ?? '') + (schema ? ' \\u2014 ' + kind(schema) : '')))
    if (schema && status < 300) node.append(fields(schema))
  }
  return node
}
let token = ''
const others = new BroadcastChannel('nbhub-session')
const state = make('output'), given = make('input')
Object.assign(given, { type: 'password', placeholder: 'or a token', ariaLabel: 'Token', autocomplete: 'off' })
given.oninput = () => { token = given.value.trim(); state.textContent = '' }
async function resume() {
  let answer
  for (let tries = 0; tries < 10; tries++) {
    answer = await fetch('/auth/session', { method: 'POST' })
    /* Another page of this browser may be asking. */
    if (answer.status !== 429) break
    await new Promise(wake => setTimeout(wake, 1000))
  }
  if (!answer.ok) return false
  token = (await answer.json()).access_token
  const who = await fetch('/whoami', { headers: { Authorization: 'Bearer ' + token } })
  state.textContent = who.ok ? 'Signed in as ' + (await who.text()).replaceAll('"', '') : ''
  return who.ok
}
async function signIn() {
  if (await resume()) return
  state.textContent = 'Sign in in the other tab.'
  open('/ui', '_blank')
}
others.onmessage = resume
function trial(path, method, op) {
  const node = make('div', '', make('h4', 'Try it')), inputs = [], sent = make('pre'), send = make('button', 'Send')
  for (const p of op.parameters ?? []) {
    const input = make('input'); input.name = p.name; input.required = Boolean(p.required)
    inputs.push([p, input]); node.append(make('label', '', make('code', p.name + (p.required ? ' *' : '')), input))
  }
  const [type, body] = Object.entries(op.requestBody?.content ?? {})[0] ?? []
  const text = type === 'application/json' ? make('textarea', JSON.stringify(body.example ?? {}, null, 2)) : null
  if (text) { text.ariaLabel = 'Body'; text.rows = 8; node.append(text) }
  const file = type && !text ? Object.assign(make('input'), { type: 'file', ariaLabel: 'Body' }) : null
  if (file) node.append(file)
  send.onclick = async () => {
    const query = new URLSearchParams(), headers = token ? { Authorization: 'Bearer ' + token } : {}
    let where = path
    for (const [p, input] of inputs) {
      if (p.in === 'path') where = where.replace('{' + p.name + '}', encodeURIComponent(input.value))
      else if (input.value && p.in === 'query') query.append(p.name, input.value)
      else if (input.value) headers[p.name] = input.value
    }
    if (type) headers['Content-Type'] = type
    const address = where + (query.size ? '?' + query : ''), begun = performance.now(), ends = new AbortController()
    const timer = setTimeout(() => ends.abort(), 30000)
    let said = method.toUpperCase() + ' ' + address + '\\n'
    sent.textContent = said; send.disabled = true
    try {
      const content = text ? text.value || undefined : file?.files[0]
      const answer = await fetch(address, { method: method.toUpperCase(), headers, body: content, signal: ends.signal })
      said += answer.status + ' ' + answer.statusText + ', ' + Math.round(performance.now() - begun) + ' ms\\n'
      for (const one of answer.headers) said += one.join(': ') + '\\n'
      sent.textContent = said
      const reader = answer.body?.getReader(), words = new TextDecoder()
      let whole = ''
      while (reader && whole.length < 100000) {
        const { done, value } = await reader.read()
        if (done) break
        whole += words.decode(value, { stream: true })
        sent.textContent = said + '\\n' + whole
      }
      try { whole = JSON.stringify(JSON.parse(whole), null, 2) } catch { /* It is shown as it came. */ }
      sent.textContent = said + '\\n' + whole
    } catch (error) { sent.textContent += '\\n' + error }
    ends.abort(); clearTimeout(timer); send.disabled = false
  }
  node.append(make('p', '', send), sent)
  return node
}
function search(words) {
  const wanted = words.toLowerCase().split(/\\s+/)
  for (const group of document.querySelectorAll('section')) {
    let any = false
    for (const node of group.querySelectorAll('details')) {
      node.hidden = !wanted.every(word => node.said.includes(word)); any ||= !node.hidden
    }
    group.hidden = !any
  }
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
  const field = Object.assign(make('input'), { type: 'search', placeholder: 'Search', ariaLabel: 'Search' })
  const button = make('button', 'Sign in'); button.onclick = signIn
  field.oninput = () => search(field.value)
  main.append(make('header', '', field, button, given, state))
  for (const group of Object.keys(groups).sort()) main.append(make('section', '', make('h2', group), ...groups[group]))
  main.append(make('section', '', make('h2', 'Structures'), ...Object.keys(components).sort().map(name => {
    const shown = fields(components[name])
    const node = make('details', '', make('summary', name), make('p', components[name].description), shown)
    node.said = name.toLowerCase()
    return node
  })))
  if (location.hash) { const node = document.getElementById(location.hash.slice(1)); if (node) node.open = true }
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
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@get("/docs", opt=needs(Policy.PUBLIC), include_in_schema=False, sync_to_thread=False)
def docs_page() -> Response[str]:
    """The page."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": CONTENT_POLICY})
