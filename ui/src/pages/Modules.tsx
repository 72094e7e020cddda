import { useQuery } from "@tanstack/react-query"

import { api, told } from "../api/client"
import { type Module, modules } from "../api/kinds"
import { useMe } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Check, Line, useProblem } from "../kit/Form"
import type { Form } from "./records/Editor"
import { Records } from "./records/Records"

const en = {
  title: "Modules",
  more: "Software that servers load with Lmod, and that notebooks use. What belongs to one is in a directory of its own.",
  create: "New module",
  edit: (name: string) => `Module ${name}`,
  none: "There is no module yet",
  noneMore: "A module makes software ready in a server: it sets paths and variables, and loads others. Make one, then choose it when you start a server.",
  name: "Name",
  version: "Version",
  featured: "Featured",
  featuredMore: "It is shown to everybody first.",
  calls: "What loading it does",
  callsMore: "From top to bottom.",
  add: "Add a line",
  call: (number: number) => `Line ${number}`,
  argument: (number: number, name: string) => `Line ${number}: ${name}`,
  more1: "another",
  remove: (number: number) => `Remove line ${number}`,
  up: (number: number) => `Move line ${number} up`,
  down: (number: number) => `Move line ${number} down`,
  preview: "The modulefile",
  empty: "-- nothing yet",
  lines: (many: number) => (many === 1 ? "1 line" : `${many} lines`),
  args: {
    text: "text",
    variable: "variable",
    entry: "path",
    separator: "separator (:)",
    value: "value",
    module: "name/version",
    family: "family",
    alias: "alias",
    command: "command",
  },
}

const de: typeof en = {
  title: "Module",
  more: "Software, die Server mit Lmod laden und die Notebooks benutzen. Was zu einem gehört, liegt in einem eigenen Verzeichnis.",
  create: "Neues Modul",
  edit: (name) => `Modul ${name}`,
  none: "Es gibt noch kein Modul",
  noneMore: "Ein Modul macht Software in einem Server bereit: Es setzt Pfade und Variablen und lädt andere. Legen Sie eines an, und wählen Sie es beim Start eines Servers.",
  name: "Name",
  version: "Version",
  featured: "Hervorgehoben",
  featuredMore: "Es wird allen zuerst gezeigt.",
  calls: "Was beim Laden geschieht",
  callsMore: "Von oben nach unten.",
  add: "Zeile hinzufügen",
  call: (number) => `Zeile ${number}`,
  argument: (number, name) => `Zeile ${number}: ${name}`,
  more1: "noch eins",
  remove: (number) => `Zeile ${number} entfernen`,
  up: (number) => `Zeile ${number} nach oben`,
  down: (number) => `Zeile ${number} nach unten`,
  preview: "Die Moduldatei",
  empty: "-- noch nichts",
  lines: (many) => (many === 1 ? "1 Zeile" : `${many} Zeilen`),
  args: {
    text: "Text",
    variable: "Variable",
    entry: "Pfad",
    separator: "Trenner (:)",
    value: "Wert",
    module: "Name/Version",
    family: "Familie",
    alias: "Alias",
    command: "Befehl",
  },
}

type Argument = keyof typeof en.args

interface Shape {
  args: readonly Argument[]
  /** How many of them may be left out. */
  spare?: number
  /** Whether there may be any number of the last one. */
  any?: boolean
}

/** What the functions of modulefiles take. One that is not here takes any number of texts. */
const SHAPES: Record<string, Shape> = {
  help: { args: ["text"], any: true },
  whatis: { args: ["text"] },
  prepend_path: { args: ["variable", "entry", "separator"], spare: 1 },
  append_path: { args: ["variable", "entry", "separator"], spare: 1 },
  setenv: { args: ["variable", "value"] },
  pushenv: { args: ["variable", "value"] },
  unsetenv: { args: ["variable"] },
  depends_on: { args: ["module"], any: true },
  load: { args: ["module"], any: true },
  conflict: { args: ["module"], any: true },
  prereq: { args: ["module"], any: true },
  family: { args: ["family"] },
  set_alias: { args: ["alias", "command"] },
}
const shapeOf = (id: string): Shape => SHAPES[id] ?? { args: ["text"], any: true }

interface Call {
  id: string
  arguments: string[]
}

interface Draft {
  name: string
  version: string
  description: string
  featured: boolean
  calls: Call[]
}

/** One's modules and those that others share, with what loading one does. */
export default function Modules() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const me = useMe().data
  const form: Form<Module, Draft, Parameters<typeof modules.make>[0]> = {
    empty: { name: "", version: "", description: "", featured: false, calls: [{ id: "whatis", arguments: [""] }] },
    of: (one) => ({
      name: one.name,
      version: one.version,
      description: one.description ?? "",
      featured: one.featured,
      calls: one.luaModuleFile.map(({ id, arguments: args }) => ({ id, arguments: args })),
    }),
    body: ({ name, version, description, featured, calls }) => ({
      name: name.trim(),
      version: version.trim(),
      description: description || null,
      featured,
      luaModuleFile: calls.map(sent),
    }),
    whole: ({ name, version, calls }) =>
      name.trim() !== "" && version.trim() !== "" && calls.every((call) => sent(call).arguments.every((one, at) => one !== "" || at > 0)),
    fields: ({ draft, set }) => (
      <>
        <div className="pair">
          <Line path="name" label={sayings.name} value={draft.name} onChange={(name) => set({ name })} isRequired autoFocus maxLength={64} mono />
          <Line path="version" label={sayings.version} value={draft.version} onChange={(version) => set({ version })} isRequired maxLength={64} mono />
        </div>
        <Line
          path="description"
          label={words.common.description}
          value={draft.description}
          onChange={(description) => set({ description })}
          lines={2}
          maxLength={8192}
        />
        <Calls calls={draft.calls} onChange={(calls) => set({ calls })} />
        <figure>
          <figcaption className="small muted">{sayings.preview}</figcaption>
          <pre className="log lua" tabIndex={0} aria-label={sayings.preview}>
            {draft.calls.map(luaOf).join("\n") || sayings.empty}
          </pre>
        </figure>
        {me?.can.feature_module && (
          <Check label={sayings.featured} more={sayings.featuredMore} value={draft.featured} onChange={(featured) => set({ featured })} />
        )}
      </>
    ),
  }
  const own = (one: Module) => me !== undefined && (one.owner === me.email || me.admin)
  return (
    <Records
      kind={modules}
      sayings={sayings}
      form={form}
      may={me?.can.create_module}
      changes={(one) => one.write_access}
      deletes={own}
      about={(one) => [one.owner !== me?.email && words.common.by(one.owner), one.description].filter(Boolean).join(" · ")}
      side={(one) => (
        <span className="small muted">
          {[one.featured && sayings.featured, sayings.lines(one.luaModuleFile.length)].filter(Boolean).join(" · ")}
        </span>
      )}
      shared={(one) => (own(one) ? { kind: "modules", id: one._id, name: modules.nameOf(one) } : undefined)}
    />
  )
}

/** A call as it is sent: without what was left out at its end. */
function sent({ id, arguments: args }: Call): Call {
  const { args: names, spare = 0, any } = shapeOf(id)
  const fewest = any ? 1 : names.length - spare
  let many = args.length
  while (many > fewest && args[many - 1] === "") many--
  return { id, arguments: args.slice(0, many) }
}

/** How a call looks in the modulefile. */
function luaOf(call: Call): string {
  const { id, arguments: args } = sent(call)
  return `${id}(${args.map((text) => JSON.stringify(text)).join(", ")})`
}

function Calls({ calls, onChange }: { calls: Call[]; onChange: (calls: Call[]) => void }) {
  const sayings = useSpoken({ en, de })
  const functions = useQuery({
    queryKey: ["lua"],
    queryFn: () => told(api.GET("/volume/lua")),
    staleTime: Infinity,
  }).data
  const change = (at: number, call: Call) => onChange(calls.map((one, index) => (index === at ? call : one)))
  const move = (at: number, by: number) => {
    const next = [...calls]
    next.splice(at + by, 0, ...next.splice(at, 1))
    onChange(next)
  }
  return (
    <fieldset className="choice">
      <legend>{sayings.calls}</legend>
      <p className="small muted">{sayings.callsMore}</p>
      <ol className="calls">
        {calls.map((call, at) => (
          <li key={at}>
            <OneCall call={call} at={at} functions={functions ?? [call.id]} onChange={(next) => change(at, next)} />
            <div className="actions">
              <Button weight="quiet" className="icon" isDisabled={at === 0} onPress={() => move(at, -1)} aria-label={sayings.up(at + 1)}>
                ↑
              </Button>
              <Button
                weight="quiet"
                className="icon"
                isDisabled={at === calls.length - 1}
                onPress={() => move(at, 1)}
                aria-label={sayings.down(at + 1)}
              >
                ↓
              </Button>
              <Button weight="quiet" className="icon" onPress={() => onChange(calls.filter((_, index) => index !== at))} aria-label={sayings.remove(at + 1)}>
                ×
              </Button>
            </div>
          </li>
        ))}
      </ol>
      <div className="actions">
        <Button onPress={() => onChange([...calls, { id: "prepend_path", arguments: ["", ""] }])}>{sayings.add}</Button>
      </div>
    </fieldset>
  )
}

function OneCall({
  call,
  at,
  functions,
  onChange,
}: {
  call: Call
  at: number
  functions: readonly string[]
  onChange: (call: Call) => void
}) {
  const sayings = useSpoken({ en, de })
  const problem = useProblem(`luaModuleFile/${at}`)
  const { args: names, any = false } = shapeOf(call.id)
  const shown = any ? Math.max(call.arguments.filter(Boolean).length + 1, names.length) : names.length
  const put = (index: number, text: string) => {
    const next = Array.from({ length: Math.max(call.arguments.length, index + 1) }, (_, one) => call.arguments[one] ?? "")
    next[index] = text
    onChange({ ...call, arguments: next })
  }
  return (
    <div className="call">
      <select
        aria-label={sayings.call(at + 1)}
        value={call.id}
        onChange={(event) => onChange({ id: event.target.value, arguments: call.arguments.slice(0, shapeOf(event.target.value).any ? undefined : shapeOf(event.target.value).args.length) })}
      >
        {functions.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
      {Array.from({ length: shown }, (_, index) => {
        const name = sayings.args[names[Math.min(index, names.length - 1)] ?? "text"]
        return (
          <input
            key={index}
            aria-label={sayings.argument(at + 1, name)}
            placeholder={any && index > 0 ? sayings.more1 : name}
            value={call.arguments[index] ?? ""}
            spellCheck={false}
            autoComplete="off"
            aria-invalid={problem !== undefined}
            onChange={(event) => put(index, event.target.value)}
          />
        )
      })}
      {problem && <p className="small bad">{problem}</p>}
    </div>
  )
}
