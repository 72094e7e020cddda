import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useRef, useState } from "react"
import { Input } from "react-aria-components/Input"
import { Label } from "react-aria-components/Label"
import { TextField } from "react-aria-components/TextField"
import { Text } from "react-aria-components/Text"

import { type Access, type Shareable, api, onceKey, told } from "../api/client"
import { useGroups, useOrganisations } from "../api/queries"
import { useTimes, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Window } from "../kit/Ask"
import { complain, say } from "../kit/toasts"
import { Trouble } from "./Home"

/** What is shared: its kind as the API's addresses have it, its id, and what people call it. */
export interface Shared {
  kind: Shareable
  id: string
  name: string
}

type Level = "read" | "write"

/** Who has access to something, and giving it to others: people, groups and organisations in one box. */
export function Share({ what, open, onClose }: { what: Shared; open: boolean; onClose: () => void }) {
  const words = useWords()
  return (
    <Window title={words.share.title(what.name)} open={open} onClose={onClose} wide>
      <Give what={what} />
      <Who what={what} />
      <div className="actions end">
        <Button onPress={onClose}>{words.common.close}</Button>
      </div>
    </Window>
  )
}

function Give({ what }: { what: Shared }) {
  const words = useWords()
  const known = useQueryClient()
  const groups = useGroups().data ?? []
  const organisations = useOrganisations().data ?? []
  const [text, setText] = useState("")
  const [level, setLevel] = useState<Level>("read")
  const [until, setUntil] = useState("")
  const [key, setKey] = useState(onceKey)
  const names = text.split(/[\s,;]+/).filter(Boolean)
  const found = sorted(names, groups.map((one) => one.name), organisations.map((one) => one.name))
  const give = useMutation({
    mutationFn: () =>
      told(
        api.POST(`/${what.kind}/{id}/share`, {
          params: { path: { id: what.id }, header: { "Idempotency-Key": key, Prefer: "wait=5" } },
          body: {
            relation: level,
            userArray: found.people,
            groupArray: found.groups,
            orgArray: found.organisations,
            // The whole of the day that was chosen.
            ...(until && { expires_at: new Date(`${until}T23:59:59`).toISOString() }),
          },
        }),
      ),
    onSuccess: () => {
      say(words.share.given(names.length))
      setText("")
      return known.invalidateQueries({ queryKey: ["access", what.id] })
    },
    onError: (error) => complain(words.trouble.request, error),
    onSettled: () => setKey(onceKey()),
  })
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        if (names.length && found.unknown.length === 0) give.mutate()
      }}
    >
      <TextField className="field" value={text} onChange={setText} autoFocus isInvalid={found.unknown.length > 0}>
        <Label>{words.share.who}</Label>
        <Input placeholder="bob@example.org, …" list="principals" autoComplete="off" />
        <Text slot="description" className="small muted">
          {found.unknown.length > 0 ? words.share.unknown(found.unknown.join(", ")) : words.share.whoMore}
        </Text>
      </TextField>
      <datalist id="principals">
        {[...groups, ...organisations].map((one) => (
          <option key={one.name} value={one.name} />
        ))}
      </datalist>
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
    </form>
  )
}

function Who({ what }: { what: Shared }) {
  const words = useWords()
  const times = useTimes()
  const known = useQueryClient()
  const access = useQuery({
    queryKey: ["access", what.id],
    queryFn: () => told(api.GET(`/${what.kind}/{id}/access`, { params: { path: { id: what.id }, query: { limit: 200 } } })),
  })
  const here = useRef<HTMLElement>(null)
  const take = useMutation({
    mutationFn: (one: Access) =>
      told(
        api.POST(`/${what.kind}/{id}/revoke`, {
          params: { path: { id: what.id }, header: { "Idempotency-Key": onceKey(), Prefer: "wait=2" } },
          body: { relation: "read", [LISTS[one.type]]: [one.entity] },
        }),
      ),
    onSuccess: (_, one) => {
      // The button that was pressed goes: whoever uses the keyboard stays in the dialog.
      here.current?.focus()
      say(words.share.taken(one.entity))
    },
    onError: (error) => complain(words.trouble.request, error),
    onSettled: () => known.invalidateQueries({ queryKey: ["access", what.id] }),
  })
  if (access.error && !access.data) return <Trouble error={access.error} />
  return (
    <section aria-label={words.share.has} ref={here} tabIndex={-1}>
      <h3>{words.share.has}</h3>
      <ul className="lines plain">
        {(access.data ?? []).map((one) => (
          <li key={`${one.type} ${one.entity}`}>
            <span className="name">{one.entity}</span>
            <span className="small muted">
              {[one.type !== "user" && words.share.types[one.type], words.access[one.access], one.expires_at && words.share.ends(times.day(one.expires_at))]
                .filter(Boolean)
                .join(" · ")}
            </span>
            {one.access !== "owner" && (
              <Button
                weight="quiet"
                className="end"
                aria-label={`${words.share.take}: ${one.entity}`}
                isDisabled={take.isPending}
                onPress={() => take.mutate(one)}
              >
                {words.share.take}
              </Button>
            )}
          </li>
        ))}
      </ul>
      <p className="small muted">{words.share.takeMore}</p>
    </section>
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
