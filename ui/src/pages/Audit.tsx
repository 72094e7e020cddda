import { useMutation } from "@tanstack/react-query"
import { useDeferredValue } from "react"
import { Link } from "wouter"

import { api, content } from "../api/client"
import { nextOf, paged } from "../api/kinds"
import { at, usePages } from "../api/pages"
import { useMe } from "../api/queries"
import type { components } from "../api/schema"
import { useSpoken, useTimes, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Empty } from "../kit/Notice"
import { Rest } from "../kit/Rest"
import { complain } from "../kit/toasts"
import { useAddress } from "./address"
import { Loading, Trouble } from "./Home"
import { Missing } from "./Missing"
import { useTitle } from "./title"

type Audited = components["schemas"]["AuditView"]

const en = {
  title: "Audit",
  more: "What was done or refused, by whom and to what. No value and no secret is in it.",
  back: "Administration",
  actor: "Who",
  actorMore: "a whole address, system or unknown",
  action: "What",
  actionMore: "such as server.start or request.denied",
  subject: "To what",
  subjectMore: "the id of a record",
  since: "From the day",
  until: "To the day",
  none: "Nothing like that was done.",
  clear: "Clear the filter",
  narrow: "A filter finds the others.",
  csv: "Save as CSV",
  only: (id: string) => `Only what was done to ${id}`,
  unsealed: "has no seal yet",
  denied: (asked: string) => `refused: ${asked}`,
  notLetIn: "not let in",
  leftOut: (many: number) => `and ${many} before it that are not shown`,
  /** What the reasons of a refusal are called. */
  codes: { FORBIDDEN: "not allowed", ENTITY_NOT_FOUND: "hidden from them" } as Record<string, string>,
}

const de: typeof en = {
  title: "Protokoll",
  more: "Was getan oder abgelehnt wurde, von wem und womit. Darin ist kein Wert und kein Geheimnis.",
  back: "Verwaltung",
  actor: "Wer",
  actorMore: "eine ganze Adresse, system oder unknown",
  action: "Was",
  actionMore: "etwa server.start oder request.denied",
  subject: "Womit",
  subjectMore: "die Id eines Eintrags",
  since: "Vom Tag",
  until: "Bis zum Tag",
  none: "So etwas wurde nicht getan.",
  clear: "Filter löschen",
  narrow: "Ein Filter findet die anderen.",
  csv: "Als CSV speichern",
  only: (id) => `Nur was mit ${id} getan wurde`,
  unsealed: "hat noch kein Siegel",
  denied: (asked) => `abgelehnt: ${asked}`,
  notLetIn: "nicht eingelassen",
  leftOut: (many) => `und ${many} davor, die nicht gezeigt werden`,
  codes: { FORBIDDEN: "nicht erlaubt", ENTITY_NOT_FOUND: "vor dieser Person verborgen" },
}

const FIELDS = ["actor", "action", "subject", "since", "until"] as const
type Field = (typeof FIELDS)[number]

/** What was done, for admins. What is looked for is in the address. */
export default function Audit() {
  const sayings = useSpoken({ en, de })
  const me = useMe().data
  useTitle(sayings.title)
  if (!me) return <Loading />
  return me.admin ? <Done /> : <Missing />
}

function Done() {
  const sayings = useSpoken({ en, de })
  const [query, turn] = useAddress()
  const written = useDeferredValue(query.toString())
  const wanted = wantedBy(new URLSearchParams(written))
  const list = usePages(["audit", written], (cursor) =>
    // It may be answered as text, too, which is not asked for here.
    paged(api.GET("/audit", { params: { query: { limit: 100, ...wanted, ...at(cursor) } } }) as Parameters<typeof paged<Audited>>[0]),
  )
  const days = (field: Field) => field === "since" || field === "until"
  // A browser complains of what is no day, and shows none.
  const shown = (field: Field, value: string) => (days(field) && !/^\d{4}-\d\d-\d\d$/.test(value) ? "" : value)
  return (
    <div className="stack">
      <div>
        <Link href="/admin" className="back">
          ← {sayings.back}
        </Link>
        <div className="heading">
          <div>
            <h1>{sayings.title}</h1>
            <p className="muted">{sayings.more}</p>
          </div>
          <Save wanted={wanted} />
        </div>
        <div className="pair filters">
          {FIELDS.map((field) => (
            <label key={field} className="field">
              <span>{sayings[field]}</span>
              <input
                type={days(field) ? "date" : "text"}
                value={shown(field, query.get(field) ?? "")}
                placeholder={days(field) ? undefined : sayings[`${field as "actor" | "action" | "subject"}More`]}
                onChange={(event) => turn({ [field]: event.target.value || null })}
              />
            </label>
          ))}
        </div>
        {list.error && !list.all ? (
          <Trouble error={list.error} />
        ) : !list.all ? (
          <Loading />
        ) : list.all.length === 0 ? (
          <div className="panel">
            <Empty action={<Button onPress={() => turn(Object.fromEntries(FIELDS.map((field) => [field, null])))}>{sayings.clear}</Button>}>{sayings.none}</Empty>
          </div>
        ) : (
          <ul className="panel lines">
            {list.all.map((one) => (
              <Row key={one._id} one={one} onSubject={() => turn({ subject: one.subject })} />
            ))}
          </ul>
        )}
        <Rest list={list} narrow={sayings.narrow} />
      </div>
    </div>
  )
}

function Row({ one, onSubject }: { one: Audited; onSubject: () => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const times = useTimes()
  const denied = one.action === "request.denied"
  const { asked, code, left_out: leftOut, ...rest } = (one.detail ?? {}) as Record<string, unknown>
  const shown = denied ? rest : (one.detail ?? {})
  const detail = Object.entries(shown).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
  if (denied && code) detail.unshift(sayings.codes[String(code)] ?? String(code))
  if (denied && leftOut) detail.push(sayings.leftOut(Number(leftOut)))
  return (
    <li>
      <div className="what">
        <span className="name">{!denied ? one.action : asked ? sayings.denied(String(asked)) : sayings.notLetIn}</span>
        <div className="small muted">
          {[words.common.by(one.actor), ...detail, !one.sealed && sayings.unsealed].filter(Boolean).join(" · ")}
        </div>
      </div>
      {one.subject_kind === "server" && !one.action.endsWith(".delete") && (
        <Link className="small" href={`/servers/${one.subject}`}>
          {words.server.details}
          <span className="only-heard">: {one.subject}</span>
        </Link>
      )}
      <Button weight="quiet" onPress={onSubject} aria-label={sayings.only(one.subject)}>
        <code>{one.subject.slice(-8)}</code>
      </Button>
      <time className="small muted num" dateTime={one.at} title={times.full(one.at)}>
        {times.short(one.at)}
      </time>
    </li>
  )
}

/** Has the browser save all that is looked for, as a table. */
function Save({ wanted }: { wanted: Partial<Record<Field, string>> }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const save = useMutation({
    mutationFn: async () => {
      const parts: Blob[] = []
      for (let next: string | undefined = ""; next !== undefined; ) {
        const query = new URLSearchParams({ ...wanted, ...(next && { cursor: next }) })
        const answer = await content(`/audit?${query}`, { headers: { Accept: "text/csv" } })
        parts.push(await answer.blob())
        next = nextOf(answer)
      }
      const link = document.createElement("a")
      link.href = URL.createObjectURL(new Blob(parts, { type: "text/csv" }))
      link.download = "audit.csv"
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
    },
    onError: (error) => complain(words.trouble.request, error),
  })
  return (
    <Button onPress={() => save.mutate()} isDisabled={save.isPending}>
      {save.isPending ? words.common.loading : sayings.csv}
    </Button>
  )
}

/** What an address looks for, as the API is asked for it: whole days of the person's own clock. */
function wantedBy(query: URLSearchParams): Partial<Record<Field, string>> {
  const said = (field: Field) => query.get(field)?.trim()
  const [since, until] = [said("since"), said("until")]
  return {
    ...(said("actor") && { actor: said("actor") }),
    ...(said("action") && { action: said("action") }),
    ...(said("subject") && { subject: said("subject") }),
    ...(since && { since: startOf(since, 0) }),
    ...(until && { until: startOf(until, 1) }),
  } as Partial<Record<Field, string>>
}

/** A day's beginning or, of one that an address has and no calendar, what is said; the API says what is wrong with it. */
function startOf(day: string, later: number): string {
  const moment = new Date(`${day}T00:00:00`)
  moment.setDate(moment.getDate() + later)
  return Number.isNaN(moment.getTime()) ? day : moment.toISOString()
}
