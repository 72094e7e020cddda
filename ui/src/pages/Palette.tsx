import { useQuery } from "@tanstack/react-query"
import { type KeyboardEvent, useDeferredValue, useId, useState } from "react"
import { useLocation } from "wouter"

import { datasets, modules, secrets, templates } from "../api/kinds"
import { useMe, useServers } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Window } from "../kit/Ask"
import { PLACES } from "./Frame"
import { nameOf } from "./servers"

const en = {
  title: "Go to",
  what: "A page, a server, a template, …",
  nothing: "Nothing has that in its name.",
  launch: "New server",
  kinds: { place: "page", server: "server", template: "start", dataset: "files", module: "module", secret: "secret" },
}

const de: typeof en = {
  title: "Gehe zu",
  what: "Eine Seite, ein Server, eine Vorlage, …",
  nothing: "Nichts hat das im Namen.",
  launch: "Neuer Server",
  kinds: { place: "Seite", server: "Server", template: "starten", dataset: "Dateien", module: "Modul", secret: "Geheimnis" },
}

/** So many of each kind are offered. */
const SOME = 5
const MOST = 30

interface Goal {
  title: string
  kind: keyof typeof en.kinds
  to: string
}

/** Everything by its name: typed, chosen with the arrow keys, gone to. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const list = useId()
  const [, go] = useLocation()
  const me = useMe().data
  const [text, setText] = useState("")
  const [at, setAt] = useState(0)
  const q = useDeferredValue(text.trim())
  const servers = useServers(me?.email ?? "", { q }).all ?? []
  const found = useQuery({
    queryKey: ["found", q],
    queryFn: async (): Promise<Goal[]> => {
      const asked = { q, limit: SOME }
      const [some, more, others, rest] = await Promise.all([
        templates.list(asked),
        datasets.list(asked),
        modules.list(asked),
        secrets.list(asked),
      ])
      return [
        ...some.items.map((one) => ({ title: one.name, kind: "template" as const, to: `/launch?template=${one._id}` })),
        ...more.items.map((one) => ({ title: one.name, kind: "dataset" as const, to: `/files/datasets/${one._id}` })),
        ...others.items.map((one) => ({ title: modules.nameOf(one), kind: "module" as const, to: `/modules?q=${encodeURIComponent(one.name)}` })),
        ...rest.items.map((one) => ({ title: one.secretName, kind: "secret" as const, to: `/secrets?q=${encodeURIComponent(one.secretName)}` })),
      ]
    },
    enabled: q !== "",
    placeholderData: (before) => before,
    staleTime: 10_000,
  }).data
  // Enter means what is typed by now, also of what was found for less.
  const typed = text.trim().toLowerCase()
  const has = ({ title }: Goal) => title.toLowerCase().includes(typed)
  const near: Goal[] = [
    { title: words.nav.servers, kind: "place", to: "/" },
    { title: sayings.launch, kind: "place", to: "/launch" },
    ...PLACES.map((place) => ({ title: words.nav[place], kind: "place" as const, to: `/${place}` })),
    ...servers.map((one) => ({ title: nameOf(one), kind: "server" as const, to: `/servers/${one._id}` })),
  ]
  const goals = [...near.filter(has).slice(0, typed ? 2 * SOME : undefined), ...(typed ? (found ?? []).filter(has) : [])].slice(0, MOST)
  const chosen = Math.min(at, goals.length - 1)
  const leave = (goal: Goal | undefined) => {
    if (!goal) return
    onClose()
    go(goal.to)
  }
  const keys = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, goals.length - 1))
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0))
    else if (event.key === "Enter") leave(goals[chosen])
    else return
    event.preventDefault()
  }
  return (
    <Window title={sayings.title} open onClose={onClose} wide>
      <input
        className="filter"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={goals[chosen] && `${list}-${chosen}`}
        aria-label={sayings.what}
        placeholder={sayings.what}
        autoComplete="off"
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value)
          setAt(0)
        }}
        onKeyDown={keys}
      />
      <ul id={list} role="listbox" aria-label={sayings.title} className="goals long">
        {goals.map((goal, index) => (
          <li
            key={`${goal.kind} ${goal.to}`}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === chosen}
            ref={index === chosen ? (line) => line?.scrollIntoView({ block: "nearest" }) : undefined}
            onClick={() => leave(goal)}
          >
            <span>{goal.title}</span>
            <span className="small muted">{sayings.kinds[goal.kind]}</span>
          </li>
        ))}
      </ul>
      {goals.length === 0 && <p className="small muted">{sayings.nothing}</p>}
    </Window>
  )
}
