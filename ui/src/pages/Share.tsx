import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useRef, useState } from "react"

import { type Access, type Operation, type Shareable, api, onceKey, told } from "../api/client"
import { paged } from "../api/kinds"
import { at, usePages } from "../api/pages"
import { hasEnded, useGroups, useOperation, useOrganisations } from "../api/queries"
import { useSpoken, useTimes, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Window } from "../kit/Ask"
import { CopyAs, type Ways, quoted, waysOf } from "../kit/CopyAs"
import { Rest } from "../kit/Rest"
import { complain, say } from "../kit/toasts"
import { Addresses, wordsOf } from "./Addresses"
import { Trouble } from "./Home"
import { ServerLink } from "./ServerLink"
import { words as table } from "./sharing.words"

/** What is shared: its kind as the API's addresses have it, its id, and what people call it. */
export interface Shared {
  kind: Shareable | "servers"
  id: string
  name: string
}

/** What is shared with people, groups and organisations. */
export type Granted = Shared & { kind: Shareable }

type Level = "read" | "write"

/** Who has access to something, and giving it to others: people, groups and organisations in one box. */
export function Share({ what, open, onClose }: { what: Shared; open: boolean; onClose: () => void }) {
  const words = useWords()
  return (
    <Window title={words.share.title(what.name)} open={open} onClose={onClose} wide>
      {isGranted(what) ? (
        <>
          <Give what={what} />
          <Who what={what} />
        </>
      ) : (
        <ServerLink id={what.id} />
      )}
      <div className="actions end">
        <Button onPress={onClose}>{words.common.close}</Button>
      </div>
    </Window>
  )
}

const isGranted = (what: Shared): what is Granted => what.kind !== "servers"

const ENDED_MS = 86_399_000

function Give({ what }: { what: Granted }) {
  const words = useWords()
  const known = useQueryClient()
  const groups = (useGroups().data ?? []).map((one) => one.name)
  const organisations = (useOrganisations().data ?? []).map((one) => one.name)
  const [text, setText] = useState("")
  const [level, setLevel] = useState<Level>("read")
  const [until, setUntil] = useState("")
  const [key, setKey] = useState(onceKey)
  const names = wordsOf(text)
  const found = sorted(names, groups, organisations)
  const body = {
    relation: level,
    userArray: found.people,
    groupArray: found.groups,
    orgArray: found.organisations,
    // The whole of the day that was chosen.
    ...(until && { expires_at: new Date(Date.parse(`${until}T00:00:00`) + ENDED_MS).toISOString() }),
  }
  const give = useMutation({
    mutationFn: async () =>
      // A preview is answered with something else, and this is none.
      (await told(
        api.POST(`/${what.kind}/{id}/share`, {
          params: { path: { id: what.id }, header: { "Idempotency-Key": key, Prefer: "wait=5" } },
          body,
        }),
      )) as Operation,
    onSuccess: () => {
      say(words.share.given(names.length))
      setText("")
      return known.invalidateQueries({ queryKey: ["access", what.id] })
    },
    onSettled: () => setKey(onceKey()),
  })
  // Whoever still types the last of them is not told that it is wrong.
  const wrong = /[\s,;]$/.test(text) || names.length > 1 || found.people.length > 0 ? found.unknown : []
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        if (names.length && found.unknown.length === 0 && !give.isPending) give.mutate()
      }}
    >
      <Addresses
        label={words.share.who}
        more={wrong.length > 0 ? words.share.unknown(wrong.join(", ")) : words.share.whoMore}
        value={text}
        onChange={(typed) => {
          setText(typed)
          // What was refused may be right now.
          if (give.error) give.reset()
        }}
        invalid={wrong.length > 0}
        names={[...groups, ...organisations]}
      />
      <div className="pair">
        <label className="field">
          <span>{words.share.level}</span>
          <select value={level} onChange={(event) => setLevel(event.target.value as Level)}>
            <option value="read">{words.access.read}</option>
            <option value="write">{words.access.write}</option>
          </select>
        </label>
        <label className="field">
          <span>{words.share.until}</span>
          <input type="date" value={until} min={tomorrow()} onChange={(event) => setUntil(event.target.value)} />
        </label>
        <Button type="submit" weight="primary" isDisabled={!names.length || found.unknown.length > 0 || give.isPending}>
          {words.share.give}
        </Button>
      </div>
      {names.length > 0 && found.unknown.length === 0 && <CopyAs ways={sharingOf(what, body)} />}
      {give.error && <Trouble error={give.error} />}
      {give.data && <Results operation={give.data} />}
    </form>
  )
}

type Given = { relation: Level; userArray: string[]; groupArray: string[]; orgArray: string[]; expires_at?: string }

/** Sharing for a terminal and a program. */
function sharingOf({ kind, id }: Granted, body: Given): Ways {
  const { relation, userArray, groupArray, orgArray, expires_at } = body
  const noun = kind === "secret" ? "secrets" : kind
  const ends = expires_at?.replace(/\.\d+Z$/, "+00:00")
  const whom = [...userArray, ...groupArray.map((name) => `@${name}`), ...orgArray.map((name) => `org:${name}`)].join(",")
  const command = [noun, "share", id, "--with", quoted(whom), relation === "write" && "--write", ends && `--until ${ends}`]
  const call = [
    `"${id}"`,
    ...Object.entries({ users: userArray, groups: groupArray, orgs: orgArray }).flatMap(([name, all]) =>
      all.length > 0 ? `${name}=${JSON.stringify(all)}` : [],
    ),
    ...(relation === "write" ? ['relation="write"'] : []),
    ...(ends ? [`expires_at=datetime.fromisoformat("${ends}")`] : []),
  ]
  const ways = waysOf(command.filter(Boolean).join(" "), "POST", `/${kind}/${id}/share`, `${noun}.share(${call.join(", ")}).wait()`, body)
  return ends ? { ...ways, Python: `from datetime import datetime; ${ways.Python}` } : ways
}

/** What sharing came to, for each. */
function Results({ operation: asked }: { operation: Operation }) {
  const sayings = useSpoken(table)
  const operation = useOperation(asked._id).data ?? asked
  const ended = hasEnded(operation)
  const results = useQuery({
    queryKey: ["operation", asked._id, "results", ended],
    queryFn: () => told(api.GET("/operations/{id}/results", { params: { path: { id: asked._id }, query: { limit: 1000 } } })),
    placeholderData: (before) => before,
  }).data
  return (
    <div aria-live="polite">
      {!ended && <p className="small muted">{sayings.underway}</p>}
      {operation.error && <p className="small bad">{operation.error.message}</p>}
      <ul className="results small">
        {results?.map((one) => (
          <li key={`${one.type} ${one.entity}`}>
            {one.entity}: <span className="muted">{sayings.outcomes[one.outcome] ?? one.outcome}</span>
            {one.detail && <span className="muted"> – {one.detail}</span>}
          </li>
        ))}
      </ul>
    </div>
  )
}

function Who({ what }: { what: Granted }) {
  const words = useWords()
  const sayings = useSpoken(table)
  const times = useTimes()
  const known = useQueryClient()
  const [why, setWhy] = useState("")
  const access = usePages(["access", what.id], (cursor) =>
    paged(api.GET(`/${what.kind}/{id}/access`, { params: { path: { id: what.id }, query: { limit: 200, ...at(cursor) } } })),
  )
  const here = useRef<HTMLElement>(null)
  const looked = () => known.invalidateQueries({ queryKey: ["access", what.id] })
  const params = { path: { id: what.id } }
  const giveBack = useMutation({
    mutationFn: (one: Access) =>
      told(
        api.POST(`/${what.kind}/{id}/share`, {
          params: { ...params, header: { Prefer: "wait=5" } },
          body: {
            relation: one.access === "write" ? "write" : "read",
            [LISTS[one.type]]: [one.entity],
            ...(one.expires_at && { expires_at: one.expires_at }),
          },
        }),
      ),
    onSuccess: (_, one) => say(sayings.givenBack(one.entity)),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: looked,
  })
  const take = useMutation({
    mutationFn: (one: Access) =>
      told(
        api.POST(`/${what.kind}/{id}/revoke`, {
          params: { ...params, header: { "Idempotency-Key": onceKey(), Prefer: "wait=2" } },
          body: { relation: "read", [LISTS[one.type]]: [one.entity] },
        }),
      ),
    onSuccess: (_, one) => {
      // The button that was pressed goes: whoever uses the keyboard stays in the dialog.
      here.current?.focus()
      say(words.share.taken(one.entity), { label: words.common.undo, run: () => giveBack.mutate(one) })
    },
    onError: (error) => complain(words.trouble.request, error),
    onSettled: looked,
  })
  if (access.error && !access.all) return <Trouble error={access.error} />
  const all = access.all ?? []
  return (
    <section aria-label={words.share.has} ref={here} tabIndex={-1}>
      <h3>{words.share.has}</h3>
      <ul className="lines plain long" tabIndex={all.length > MANY ? 0 : undefined}>
        {all.map((one) => (
          <li key={`${one.type} ${one.entity}`}>
            <span className="name">{one.entity}</span>
            <span className="small muted">
              {[one.type !== "user" && words.share.types[one.type], words.access[one.access], one.expires_at && words.share.ends(times.day(one.expires_at))]
                .filter(Boolean)
                .join(" · ")}
            </span>
            <div className="actions end">
              {one.type === "user" && one.access !== "owner" && (
                <Button weight="quiet" aria-label={`${sayings.why} ${one.entity}`} onPress={() => setWhy(one.entity)}>
                  {sayings.why}
                </Button>
              )}
              {one.access !== "owner" && (
                <Button
                  weight="quiet"
                  aria-label={`${words.share.take}: ${one.entity}`}
                  isDisabled={take.isPending}
                  onPress={() => take.mutate(one)}
                >
                  {words.share.take}
                </Button>
              )}
            </div>
          </li>
        ))}
      </ul>
      <Rest list={access} />
      <Why what={what} email={why} onEmail={setWhy} />
      <p className="small muted">{words.share.takeMore}</p>
    </section>
  )
}

/** From so many on the list is scrolled. */
const MANY = 5

/** Why a person has access, or that they have none: one finds out also about whom no line names. */
function Why({ what, email, onEmail }: { what: Granted; email: string; onEmail: (email: string) => void }) {
  const words = useWords()
  const sayings = useSpoken(table)
  const times = useTimes()
  const [typed, setTyped] = useState("")
  const explained = useQuery({
    queryKey: ["access", what.id, "why", email],
    queryFn: () =>
      told(api.GET(`/${what.kind}/{id}/access/explain`, { params: { path: { id: what.id }, query: { email } } })),
    enabled: email !== "",
    retry: false,
  })
  return (
    <div className="why">
      <form
        className="pair"
        onSubmit={(event) => {
          event.preventDefault()
          onEmail(typed.trim())
        }}
      >
        <label className="field">
          <span>{sayings.whoHas}</span>
          <input type="email" value={typed} placeholder="bob@example.org" autoComplete="off" onChange={(event) => setTyped(event.target.value)} />
        </label>
        <Button type="submit" isDisabled={!typed.includes("@")}>
          {sayings.why}
        </Button>
      </form>
      <div aria-live="polite" className="small">
        {explained.error && <p className="bad">{explained.error.message}</p>}
        {email && explained.data && (
          <>
            <p>
              <b>{explained.data.email}</b>{" "}
              {explained.data.access ? words.access[explained.data.access === "owner" ? "write" : explained.data.access] : sayings.none}
            </p>
            <ul>
              {explained.data.via.map((way) => (
                <li key={`${way.type} ${way.entity}`} className="muted">
                  {sayings.via[way.access === "owner" ? "owner" : way.type](way.entity ?? "")}
                  {way.access !== "owner" && `: ${words.access[way.access]}`}
                  {way.expires_at && ` · ${words.share.ends(times.day(way.expires_at))}`}
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </div>
  )
}

const LISTS = { user: "userArray", group: "groupArray", org: "orgArray" } as const

/** Which of these are people, groups and organisations, and which are nothing that is known. */
export function sorted(names: string[], groups: string[], organisations: string[]) {
  const lower = (name: string) => name.toLowerCase()
  const inGroups = new Set(groups.map(lower))
  const inOrganisations = new Set(organisations.map(lower))
  const people = names.filter((name) => name.includes("@"))
  const others = names.filter((name) => !name.includes("@"))
  return {
    people,
    groups: others.filter((name) => inGroups.has(lower(name))),
    organisations: others.filter((name) => !inGroups.has(lower(name)) && inOrganisations.has(lower(name))),
    unknown: others.filter((name) => !inGroups.has(lower(name)) && !inOrganisations.has(lower(name))),
  }
}

function tomorrow(): string {
  const day = new Date(Date.now() + 86_400_000)
  return [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0")).join("-")
}
