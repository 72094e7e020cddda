import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useDeferredValue, useState } from "react"
import { Link } from "wouter"

import { type Operation, type Server, api, told } from "../api/client"
import { paged } from "../api/kinds"
import { at, usePages } from "../api/pages"
import { useMe } from "../api/queries"
import { useSpoken, useTimes, useWords } from "../i18n"
import { Ask } from "../kit/Ask"
import { Button } from "../kit/Button"
import { Empty, Notice } from "../kit/Notice"
import { Rest } from "../kit/Rest"
import { Status, type Mood } from "../kit/Status"
import { lookSoon } from "../live/parts"
import { useAddress } from "./address"
import { Loading, Trouble } from "./Home"
import { Missing } from "./Missing"
import { StatusOf, nameOf, useMakeOf } from "./servers"
import { useTitle } from "./title"

const count = (many: number, one: string, more: string) => `${many} ${many === 1 ? one : more}`

const en = {
  title: "Administration",
  audit: "Audit: what was done, by whom",
  people: "People",
  peopleMore: "Find somebody by how the address or the name begins: three letters at least.",
  peopleFind: "Address or name",
  peopleNone: "Nobody is found by that. Who never signed in is not.",
  peopleMost: "There may be more than these: type more of it.",
  theirServers: "Servers",
  theirDoings: "Audit",
  parts: "How the parts are",
  part: { ok: "well", failed: "away" },
  checked: "Seen by the API just now.",
  servers: "Servers of everybody",
  owner: "Owner",
  ownerMore: "a whole address",
  state: "State",
  any: "Any state",
  name: "Name",
  none: "No server is like that.",
  all: "All that are shown",
  narrow: "Owner, name and state find the others.",
  stop: (many: number) => `Stop ${count(many, "server", "servers")} …`,
  stopTitle: (many: number) => `Stop ${count(many, "server", "servers")}?`,
  stopMore: (who: string) => `What runs in them ends, and what was not saved is lost. They belong to ${who}.`,
  stopYes: "Stop them",
  stopProgress: "How many were asked to stop",
  stopping: (done: number, all: number) => `${done} of ${all} asked to stop`,
  refused: (many: number) => `${count(many, "was", "were")} refused`,
  operations: "Operations",
  operationsNone: "Nothing is like that.",
  failed: "Failed",
  underway: "Under way",
  every: "All",
  by: (who: string) => `by ${who}`,
  workflow: "Workflow",
}

const de: typeof en = {
  title: "Verwaltung",
  audit: "Protokoll: was getan wurde, von wem",
  people: "Menschen",
  peopleMore: "Finden Sie jemanden danach, wie Adresse oder Name beginnen: mit mindestens drei Buchstaben.",
  peopleFind: "Adresse oder Name",
  peopleNone: "So wird niemand gefunden. Wer sich nie angemeldet hat, ist nicht dabei.",
  peopleMost: "Es kann mehr geben als diese: Geben Sie mehr davon ein.",
  theirServers: "Server",
  theirDoings: "Protokoll",
  parts: "Wie es den Teilen geht",
  part: { ok: "gut", failed: "weg" },
  checked: "Von der API gerade eben gesehen.",
  servers: "Server von allen",
  owner: "Wem sie gehören",
  ownerMore: "eine ganze Adresse",
  state: "Zustand",
  any: "Jeder Zustand",
  name: "Name",
  none: "So ist kein Server.",
  all: "Alle, die gezeigt sind",
  narrow: "Wem sie gehören, Name und Zustand finden die anderen.",
  stop: (many) => `${count(many, "Server", "Server")} stoppen …`,
  stopTitle: (many) => `${count(many, "Server", "Server")} stoppen?`,
  stopMore: (who) => `Was in ihnen läuft, endet, und was nicht gespeichert ist, geht verloren. Sie gehören ${who}.`,
  stopYes: "Stoppen",
  stopProgress: "Wie viele schon stoppen sollen",
  stopping: (done, all) => `${done} von ${all} sollen stoppen`,
  refused: (many) => `${many} abgelehnt`,
  operations: "Vorgänge",
  operationsNone: "So ist nichts.",
  failed: "Gescheitert",
  underway: "In Arbeit",
  every: "Alle",
  by: (who) => `von ${who}`,
  workflow: "Workflow",
}

const SOME = 100
const STATES = ["running", "starting", "stopping", "stopped"] as const
type State = (typeof STATES)[number]

/** What admins look after: the parts, everybody's servers, and what is done. */
export default function Admin() {
  const sayings = useSpoken({ en, de })
  const me = useMe().data
  useTitle(sayings.title)
  if (!me) return <Loading />
  if (!me.admin) return <Missing />
  return (
    <div className="stack">
      <div className="heading">
        <h1>{sayings.title}</h1>
        <Link href="/admin/audit">{sayings.audit}</Link>
      </div>
      <Parts />
      <People />
      <Servers />
      <Operations />
    </div>
  )
}

function Parts() {
  const sayings = useSpoken({ en, de })
  const health = useQuery({
    queryKey: ["health"],
    // A part that is away makes it a 503, which says which.
    queryFn: async () => {
      const { data, error, response } = await api.GET("/healthcheck")
      const said = (data ?? error) as typeof data
      if (said && "checks" in said) {
        if (said.status !== "ok") lookSoon()
        return said
      }
      throw new Error(`HTTP ${response.status}`)
    },
    refetchInterval: 10_000,
  })
  return (
    <section aria-labelledby="parts">
      <h2 id="parts">{sayings.parts}</h2>
      {health.error && !health.data ? (
        <Trouble error={health.error} />
      ) : (
        <ul className="panel parts" aria-live="polite">
          {Object.entries(health.data?.checks ?? {}).map(([name, check]) => (
            <li key={name}>
              <Status mood={check.status === "ok" ? "good" : "bad"}>{`${name}: ${sayings.part[check.status]}`}</Status>
              <span className="small muted num">{check.error ?? `${Math.round(check.latency_ms)} ms`}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

/** The API finds nobody by fewer letters, and no more people than this. */
const FEWEST = 3
const MOST = 20

/** Somebody by the address or the name, and the way to what they have and did. */
function People() {
  const sayings = useSpoken({ en, de })
  const [query, turn] = useAddress()
  const typed = query.get("person") ?? ""
  const q = useDeferredValue(typed.trim())
  const people = useQuery({
    queryKey: ["people", q],
    queryFn: () => told(api.GET("/people", { params: { query: { q } } })),
    enabled: q.length >= FEWEST,
    placeholderData: (before) => before,
  })
  const found = q.length >= FEWEST ? people.data : undefined
  return (
    <section aria-labelledby="people">
      <h2 id="people">{sayings.people}</h2>
      <label className="field filters">
        <span>{sayings.peopleFind}</span>
        <input type="search" value={typed} maxLength={254} autoComplete="off" onChange={(event) => turn({ person: event.target.value || null })} />
        <span className="small muted">{sayings.peopleMore}</span>
      </label>
      {people.error && <Trouble error={people.error} />}
      <div role="status">
        {found?.length === 0 && <p className="small muted">{sayings.peopleNone}</p>}
        {found?.length === MOST && <p className="small muted">{sayings.peopleMost}</p>}
      </div>
      {found && found.length > 0 && (
        <ul className="panel lines">
          {found.map((one) => (
            <li key={one.email}>
              <div className="what">
                <span className="name">{one.name ?? one.email}</span>
                {one.name && <div className="small muted">{one.email}</div>}
              </div>
              <Button
                weight="quiet"
                aria-label={`${sayings.theirServers}: ${one.email}`}
                onPress={() => {
                  turn({ owner: one.email, state: "" })
                  document.getElementById("everybody")?.scrollIntoView()
                }}
              >
                {sayings.theirServers}
              </Button>
              <Link className="button quiet" href={`/admin/audit?actor=${encodeURIComponent(one.email)}`} aria-label={`${sayings.theirDoings}: ${one.email}`}>
                {sayings.theirDoings}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Servers() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const makeOf = useMakeOf()
  const [query, change] = useAddress()
  const owner = useDeferredValue(query.get("owner") ?? "")
  const name = useDeferredValue(query.get("name") ?? "")
  const state = STATES.find((one) => one === (query.get("state") ?? "running"))
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const servers = usePages(["servers", "everybody", owner, name, state], (cursor) =>
    paged(
      api.GET("/servers", {
        params: {
          query: {
            limit: SOME,
            ...(owner.includes("@") && { owner }),
            ...(name && { name }),
            ...(state && { status: state }),
            ...at(cursor),
          },
        },
      }),
    ),
  )
  const all = servers.all ?? []
  const meant = all.filter((one) => chosen.has(one._id))
  const turn = (field: string, value: string) => {
    setChosen(new Set())
    change({ [field]: value })
  }
  return (
    <section aria-labelledby="everybody">
      <div className="heading">
        <h2 id="everybody">{sayings.servers}</h2>
        <Stop servers={meant} onDone={() => setChosen(new Set())} />
      </div>
      <div className="pair filters">
        <label className="field">
          <span>{sayings.owner}</span>
          <input value={query.get("owner") ?? ""} placeholder={sayings.ownerMore} onChange={(event) => turn("owner", event.target.value)} />
        </label>
        <label className="field">
          <span>{sayings.name}</span>
          <input value={query.get("name") ?? ""} onChange={(event) => turn("name", event.target.value)} />
        </label>
        <label className="field">
          <span>{sayings.state}</span>
          <select value={state ?? ""} onChange={(event) => turn("state", event.target.value as State | "")}>
            <option value="">{sayings.any}</option>
            {STATES.map((one) => (
              <option key={one} value={one}>
                {words.server.status[one]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {servers.error && !servers.all ? (
        <Trouble error={servers.error} />
      ) : !servers.all ? (
        <Loading />
      ) : all.length === 0 ? (
        <div className="panel">
          <Empty>{sayings.none}</Empty>
        </div>
      ) : (
        <ul className="panel lines">
          <li>
            <label className="check">
              <input
                type="checkbox"
                checked={meant.length === all.length}
                onChange={(event) => setChosen(new Set(event.target.checked ? all.map((one) => one._id) : []))}
              />
              <span className="small muted">
                {sayings.all}: {all.length}
              </span>
            </label>
          </li>
          {all.map((one) => (
            <li key={one._id}>
              <label className="check what">
                <input
                  type="checkbox"
                  checked={chosen.has(one._id)}
                  aria-label={`${nameOf(one)}, ${one.owner}`}
                  onChange={() => {
                    const next = new Set(chosen)
                    if (!next.delete(one._id)) next.add(one._id)
                    setChosen(next)
                  }}
                />
                <span>
                  <b className="name">{nameOf(one)}</b>
                  <span className="small muted">
                    {one.owner} · {makeOf(one.templateData)}
                  </span>
                </span>
              </label>
              <StatusOf server={one} />
              <Link className="button quiet end" href={`/servers/${one._id}`} aria-label={`${words.server.details}: ${nameOf(one)}`}>
                {words.server.details}
              </Link>
            </li>
          ))}
        </ul>
      )}
      <Rest list={servers} narrow={sayings.narrow} />
    </section>
  )
}

/** Ask several servers to stop, a few at a time; what was refused is said. */
function Stop({ servers, onDone }: { servers: Server[]; onDone: () => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const known = useQueryClient()
  const [asking, setAsking] = useState(false)
  const [far, setFar] = useState({ done: 0, refused: 0 })
  const stop = useMutation({
    mutationFn: async (all: Server[]) => {
      let [done, refused] = [0, 0]
      const waiting = [...all]
      const one = async () => {
        for (let next = waiting.shift(); next; next = waiting.shift()) {
          await told(api.PUT("/servers/{id}/stop", { params: { path: { id: next._id } } })).then(
            () => done++,
            () => refused++,
          )
          setFar({ done, refused })
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, one))
    },
    onSettled: () => {
      onDone()
      return known.invalidateQueries({ queryKey: ["servers"] })
    },
  })
  const owners = [...new Set(servers.map((one) => one.owner))]
  const who = owners.slice(0, 5).join(", ") + (owners.length > 5 ? ", …" : "")
  const total = stop.variables?.length ?? 0
  return (
    <div className="actions">
      {stop.isPending && <progress value={total ? (far.done + far.refused) / total : 0} aria-label={sayings.stopProgress} />}
      <span role="status" className="small muted num">
        {stop.variables && [sayings.stopping(far.done, total), far.refused > 0 && sayings.refused(far.refused)].filter(Boolean).join(" · ")}
      </span>
      {servers.length > 0 && (
        <Button weight="danger" isDisabled={stop.isPending} onPress={() => setAsking(true)}>
          {sayings.stop(servers.length)}
        </Button>
      )}
      <Ask
        title={sayings.stopTitle(servers.length)}
        yes={sayings.stopYes}
        no={words.common.cancel}
        open={asking}
        onYes={() => stop.mutate(servers)}
        onClose={() => setAsking(false)}
      >
        {sayings.stopMore(who)}
      </Ask>
    </div>
  )
}

const AT_ONCE = 4

const MOODS: Record<string, Mood> = { queued: "busy", running: "busy", succeeded: "good", failed: "bad", cancelled: "off" }

function Operations() {
  const sayings = useSpoken({ en, de })
  const [status, setStatus] = useState<Operation["status"] | "">("")
  const operations = usePages(["operations", "all", status], (cursor) =>
    paged(
      api.GET("/operations", { params: { query: { limit: 50, ...(status && { status }), ...at(cursor) } } }),
    ),
  )
  return (
    <section aria-labelledby="operations">
      <div className="heading">
        <h2 id="operations">{sayings.operations}</h2>
        <label className="field">
          <span className="only-heard">{sayings.state}</span>
          <select value={status} onChange={(event) => setStatus(event.target.value as typeof status)}>
            <option value="">{sayings.every}</option>
            <option value="running">{sayings.underway}</option>
            <option value="failed">{sayings.failed}</option>
          </select>
        </label>
      </div>
      {operations.error && !operations.all ? (
        <Trouble error={operations.error} />
      ) : !operations.all ? (
        <Loading />
      ) : operations.all.length === 0 ? (
        <Notice mood="calm">{sayings.operationsNone}</Notice>
      ) : (
        <ul className="panel lines">
          {operations.all.map((one) => (
            <Done key={one._id} operation={one} />
          ))}
        </ul>
      )}
      <Rest list={operations} />
    </section>
  )
}

function Done({ operation }: { operation: Operation }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const times = useTimes()
  return (
    <li>
      <div className="what">
        <Status mood={MOODS[operation.status] ?? "off"}>{operation.kind}</Status>
        <div className="small muted">
          {words.outcomes[operation.status]} · {sayings.by(operation.actor)}
          {operation.error && <span className="bad"> · {operation.error.message}</span>}
        </div>
      </div>
      <time className="small muted num" dateTime={operation.created_at} title={times.full(operation.created_at)}>
        {times.short(operation.created_at)}
      </time>
      {operation.workflow_url && (
        <a className="small" href={operation.workflow_url} target="_blank" rel="noopener noreferrer">
          {sayings.workflow}
        </a>
      )}
    </li>
  )
}
