import { useQuery } from "@tanstack/react-query"
import { useDeferredValue, useEffect, useId, useState } from "react"
import { Link, useLocation, useSearchParams } from "wouter"

import { api, onceKey, told } from "../api/client"
import { Refused } from "../api/errors"
import { type Template, templates } from "../api/kinds"
import { freeName, useApplications, useHardware, useLaunch, useMe, useTaken } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { CopyAs } from "../kit/CopyAs"
import { Line, Refusing, standing } from "../kit/Form"
import { Notice } from "../kit/Notice"
import { Contents, type Inside, insideOf, suggested, useChoices } from "./Contents"
import { Trouble } from "./Home"
import { useMakeOf, useWhyNot } from "./servers"
import { type Launched, launchingOf } from "./launching"
import { useTitle } from "./title"

const en = {
  title: "New server",
  more: "Choose what it begins with, and change what you like. This address has all of it: keep it, or give it to others.",
  template: "Begin with",
  find: "Find a template",
  nothing: "Nothing yet",
  nothingMore: "Your home, and what you choose below.",
  found: "No template has that in its name.",
  missing: "The template of this address is not there, or not yours to use.",
  name: "Name",
  inside: "What will be inside",
  home: "Your home",
  groups: (names: string) => `Your groups: ${names}`,
  left: "Left out",
  leftMore: (many: number) =>
    many === 1 ? "One thing of the template is not yours to use." : `${many} things of the template are not yours to use.`,
  own: "You changed something: the server is made of a template of its own.",
  start: "Start",
  starting: "Starting …",
  back: "All servers",
}

const de: typeof en = {
  title: "Neuer Server",
  more: "Wählen Sie, womit er beginnt, und ändern Sie, was Sie wollen. Diese Adresse enthält alles: Behalten Sie sie, oder geben Sie sie weiter.",
  template: "Beginnen mit",
  find: "Vorlage suchen",
  nothing: "Noch nichts",
  nothingMore: "Ihr Home, und was Sie unten wählen.",
  found: "Keine Vorlage hat das im Namen.",
  missing: "Die Vorlage dieser Adresse gibt es nicht, oder sie ist nicht für Sie.",
  name: "Name",
  inside: "Was darin sein wird",
  home: "Ihr Home",
  groups: (names) => `Ihre Gruppen: ${names}`,
  left: "Weggelassen",
  leftMore: (many) => (many === 1 ? "Eines aus der Vorlage dürfen Sie nicht benutzen." : `${many} Dinge aus der Vorlage dürfen Sie nicht benutzen.`),
  own: "Sie haben etwas geändert: Der Server bekommt eine eigene Vorlage.",
  start: "Starten",
  starting: "Startet …",
  back: "Alle Server",
}

interface Draft extends Inside {
  name: string
}

const LISTS = ["datasets", "modules", "secrets"] as const
/** Under which names an address has what was chosen. */
const FIELDS = { name: "name", applicationType: "application", hardware: "hardware", filePath: "file", datasets: "datasets", modules: "modules", secrets: "secrets" } as const

/** What is to be started, as this address says it: a template, and what differs from it. */
export default function Launch() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  useTitle(sayings.title)
  const [query] = useSearchParams()
  const id = query.get("template")
  const applications = useApplications().data
  const hardware = useHardware().data
  const template = useQuery({
    queryKey: ["template", "one", id],
    queryFn: () => templates.read(id ?? ""),
    enabled: id !== null,
  })
  const me = useMe().data
  const begun = applications && hardware && suggested(applications, hardware)
  const application = query.get(FIELDS.applicationType) ?? begun?.applicationType
  const title = applications?.find((one) => one._id === application)?.title ?? ""
  const taken = useTaken(id === null ? (me?.email ?? "") : "", title)
  const ready = begun && me && (id === null ? taken.data || taken.error || !title : template.data || template.error)
  return (
    <div className="stack">
      <div>
        <Link href="/" className="back">
          ← {sayings.back}
        </Link>
        <h1>{sayings.title}</h1>
        <p className="muted">{me?.can.create_server === false ? words.launch.limit : sayings.more}</p>
      </div>
      {template.error &&
        (template.error instanceof Refused && template.error.status === 404 ? (
          <Notice title={sayings.missing} />
        ) : (
          <Trouble error={template.error} />
        ))}
      {ready ? (
        <Chosen
          template={id === null ? undefined : template.data?.record}
          begun={begun}
          free={freeName(title, taken.data ?? [])}
        />
      ) : (
        <p className="muted late">{words.common.loading}</p>
      )}
    </div>
  )
}

function Chosen({ template, begun, free }: { template: Template | undefined; begun: Inside; /** What it may be called. */ free: string }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const me = useMe().data
  const applications = useApplications().data ?? []
  const [query, setQuery] = useSearchParams()
  const [, go] = useLocation()
  const launch = useLaunch()
  const [key, setKey] = useState(onceKey)
  const { choices } = useChoices()
  const inside = template ? insideOf(template) : begun
  const base: Draft = { ...inside, name: template?.name ?? free }
  const draft = drafted(query, base)
  const set = (part: Partial<Draft>) =>
    setQuery((before) => written(before, { ...drafted(before, base), ...part }, base), { replace: true })
  const differs = (Object.keys(base) as (keyof Draft)[]).some((one) => String(draft[one]) !== String(base[one]))
  const mine = (kind: (typeof LISTS)[number]) => draft[kind].filter((one) => choices[kind]?.some((choice) => choice.id === one) ?? true)
  const left = LISTS.reduce((many, kind) => many + draft[kind].length - mine(kind).length, 0)
  const unavailable = useWhyNot()(draft)
  const needsFile = applications.find((one) => one._id === draft.applicationType)?.file !== undefined
  const titleOf = (id: string) => LISTS.flatMap((kind) => choices[kind] ?? []).find((one) => one.id === id)?.title
  const whole = draft.name.trim() !== "" && (!needsFile || draft.filePath !== "")
  const { filePath, ...rest } = draft
  const made = {
    ...rest,
    name: draft.name.trim(),
    description: template?.description ?? "",
    type: "user",
    public: false,
    ...(needsFile && { filePath }),
    ...Object.fromEntries(LISTS.map((kind) => [kind, mine(kind)])),
  }
  const what = template && !differs ? { template: template._id } : { made }
  const preview = usePreview(what, whole && me?.can.create_server === true)
  const start = () =>
    launch.mutate({ ...what, key }, {
      onSuccess: (server) => go(`/servers/${server._id}?open=1`),
      onError: () => setKey(onceKey()),
    })
  const sent = launch.variables && "made" in launch.variables ? launch.variables.made : undefined
  const launched = standing(launch.error, sent, made)
  // A preview is of what is chosen now.
  const { error: refusal, details } = launched.error ? launched : standing(preview.error, made, made)
  return (
    <form
      className="beside"
      onSubmit={(event) => {
        event.preventDefault()
        if (whole && unavailable === undefined && me?.can.create_server && !launch.isPending) start()
      }}
    >
      <div className="form roomy">
        <Refusing details={details}>
          <Choose
            chosen={template}
            onChange={(id) => setQuery(id ? { template: id } : {}, { replace: true })}
          />
          <Line path="name" label={sayings.name} value={draft.name} onChange={(name) => set({ name })} isRequired maxLength={128} />
          <Contents draft={draft} set={set} />
        </Refusing>
      </div>
      <aside className="panel summary" aria-labelledby="summary">
        <h2 id="summary">{sayings.inside}</h2>
        <Summary draft={draft} mine={mine} />
        {left > 0 && !preview.data?.left_out.length && (
          <p className="small busy">
            <b>{sayings.left}:</b> {sayings.leftMore(left)}
          </p>
        )}
        {preview.data?.left_out.map((one) => (
          <p key={one._id} className="small busy">
            <b>{sayings.left}:</b> {titleOf(one._id) ?? one.kind} – {one.reason}
          </p>
        ))}
        {template && differs && <p className="small muted">{sayings.own}</p>}
        {unavailable && (
          <p className="small busy">
            <b>{words.launch.unavailable}:</b> {unavailable}
          </p>
        )}
        {refusal && <Trouble error={refusal} />}
        <Button type="submit" weight="primary" isDisabled={!whole || unavailable !== undefined || launch.isPending || !me?.can.create_server}>
          {launch.isPending ? sayings.starting : sayings.start}
        </Button>
        {me?.can.create_server === false && <p className="small muted">{words.launch.limit}</p>}
        {whole && <CopyAs ways={launchingOf(what)} />}
      </aside>
    </form>
  )
}

/** What a start would come to, asked of the API before it is wished for; nothing is made. */
function usePreview(what: Launched, asks: boolean) {
  // Whoever types is asked for no more than that.
  const asked = useSettled(JSON.stringify(what), 400)
  return useQuery({
    queryKey: ["template", "preview", asked],
    queryFn: async () => {
      const answer = await ("template" in what
        ? told(api.PUT("/servers", { params: { query: { templateId: what.template, dry_run: true } } }))
        : told(api.POST("/servers", { params: { query: { dry_run: true } }, body: what.made })))
      return "left_out" in answer ? answer : undefined
    },
    enabled: asks && asked === JSON.stringify(what),
    retry: false,
    staleTime: 10_000,
    placeholderData: (before) => before,
  })
}

/** A value once it has stayed the same for so many milliseconds. */
function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds)
    return () => clearTimeout(timer)
  }, [value, milliseconds])
  return settled
}

function Summary({ draft, mine }: { draft: Draft; mine: (kind: (typeof LISTS)[number]) => string[] }) {
  const sayings = useSpoken({ en, de })
  const makeOf = useMakeOf()
  const me = useMe().data
  const { choices } = useChoices()
  const named = LISTS.flatMap((kind) =>
    mine(kind).flatMap((id) => choices[kind]?.filter((one) => one.id === id) ?? []),
  )
  return (
    <>
      <p>
        <b>{draft.name || "…"}</b>
        <br />
        <span className="small muted">{makeOf(draft)}</span>
      </p>
      <ul className="small inside">
        <li>{sayings.home}</li>
        {me && me.groups.length > 0 && <li>{sayings.groups(me.groups.map((one) => one.name).join(", "))}</li>}
        {named.map((one) => (
          <li key={one.id}>
            <b>{one.title}</b> <span className="muted">{one.more}</span>
          </li>
        ))}
      </ul>
    </>
  )
}

/** How many templates are offered at once; a search finds the others. */
const SOME = 30

function Choose({ chosen, onChange }: { chosen: Template | undefined; onChange: (id: string | undefined) => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const makeOf = useMakeOf()
  const name = useId()
  const [filter, setFilter] = useState("")
  const q = useDeferredValue(filter.trim())
  const found = useQuery({
    queryKey: ["template", "found", q],
    queryFn: () => templates.list({ limit: SOME, ...(q && { q }) }),
    placeholderData: (before) => before,
  }).data
  const others = (found?.items ?? []).filter((one) => one._id !== chosen?._id)
  const offered = chosen ? [chosen, ...others] : others
  return (
    <fieldset className="choice">
      <legend>{sayings.template}</legend>
      {(filter || found?.next || others.length > 5) && (
        <input
          className="filter"
          type="search"
          aria-label={sayings.find}
          placeholder={sayings.find}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      )}
      <div className="options tall">
        <label className="option">
          <input type="radio" name={name} checked={!chosen} onChange={() => onChange(undefined)} />
          <span>
            <b>{sayings.nothing}</b>
            <span className="small muted">{sayings.nothingMore}</span>
          </span>
        </label>
        {offered.map((one) => (
          <label key={one._id} className="option">
            <input type="radio" name={name} checked={one._id === chosen?._id} onChange={() => onChange(one._id)} />
            <span>
              <b>{one.name}</b>
              <span className="small muted">
                {words.common.by(one.creator)} · {makeOf(one)}
              </span>
            </span>
          </label>
        ))}
      </div>
      {found && others.length === 0 && q && <p className="small muted">{sayings.found}</p>}
    </fieldset>
  )
}

/** What an address says, and where it says nothing, what it begins with. */
function drafted(query: URLSearchParams, base: Draft): Draft {
  const of = (field: keyof Draft) => {
    const said = query.get(FIELDS[field])
    if (said === null) return base[field]
    return Array.isArray(base[field]) ? said.split(",").filter(Boolean) : said
  }
  return Object.fromEntries((Object.keys(FIELDS) as (keyof Draft)[]).map((field) => [field, of(field)])) as unknown as Draft
}

/** An address that says what differs from what it begins with. */
function written(before: URLSearchParams, draft: Draft, base: Draft): URLSearchParams {
  const next = new URLSearchParams(before)
  for (const field of Object.keys(FIELDS) as (keyof Draft)[]) {
    if (String(draft[field]) === String(base[field])) next.delete(FIELDS[field])
    else next.set(FIELDS[field], String(draft[field]))
  }
  return next
}
