import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { Link } from "wouter"

import { api, told } from "../api/client"
import { type Group, groups, paged } from "../api/kinds"
import { at, usePages } from "../api/pages"
import { useMe } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Ask, Window } from "../kit/Ask"
import { Button } from "../kit/Button"
import { Line } from "../kit/Form"
import { Menu, MenuItem } from "../kit/Menu"
import { Rest } from "../kit/Rest"
import { complain, say } from "../kit/toasts"
import { Addresses, wordsOf } from "./Addresses"
import { Loading, Trouble } from "./Home"
import type { Form } from "./records/Editor"
import { Records } from "./records/Records"

const en = {
  title: "Groups",
  more: "People who work together: they have a directory in their servers, and one shares with all of them at once.",
  create: "New group",
  edit: (name: string) => `Group ${name}`,
  none: "There is no group yet",
  noneMore: "Make one for your project: its members have a directory in common, and see what is shared with it.",
  nameMore: "Everybody sees the name. Servers show its directory at /opt/groups/ under it.",
  roles: { manager: "you manage it", member: "you are in it", other: "you are not in it" },
  shown: "in your servers",
  hidden: "kept out of your servers",
  show: "Show in my servers",
  hide: "Keep out of my servers",
  showing: (name: string) => `Your servers show ${name} from their next start on`,
  hiding: (name: string) => `Your servers are without ${name} from their next start on`,
  members: "Members",
  membersOf: (name: string) => `Members of ${name}`,
  add: "Add",
  who: "Whom to add",
  whoMore: "Addresses, as many as you like: paste a whole list. They need not have signed in yet.",
  wrong: (names: string) => `These are no addresses: ${names}`,
  added: "added",
  remove: "Remove from the group",
  removed: (who: string) => `${who} is not in the group any more`,
  manager: "Make a manager",
  notManager: "Make a member only",
  managing: (who: string) => `${who} manages the group now`,
  notManaging: (who: string) => `${who} is a member only`,
  leave: "Leave",
  leaving: (name: string) => `Leave ${name}?`,
  leavingMore: "Its directory, and what is shared with it, is not yours to use from then on. Servers that hold it are stopped.",
  left: (name: string) => `You left ${name}`,
  you: "you",
  files: "Files",
  deleting: (name: string) => `Delete ${name} for good?`,
  deletingMore: "Its directory goes with all files in it, and everything that was shared with the group. Servers that hold it are stopped. This cannot be taken back.",
  deletingYes: "Delete group and files",
}

const de: typeof en = {
  title: "Gruppen",
  more: "Menschen, die zusammen arbeiten: Sie haben ein Verzeichnis in ihren Servern, und man teilt mit allen auf einmal.",
  create: "Neue Gruppe",
  edit: (name) => `Gruppe ${name}`,
  none: "Es gibt noch keine Gruppe",
  noneMore: "Legen Sie eine für Ihr Projekt an: Ihre Mitglieder haben ein gemeinsames Verzeichnis und sehen, was mit ihr geteilt ist.",
  nameMore: "Alle sehen den Namen. Server zeigen ihr Verzeichnis unter ihm in /opt/groups/.",
  roles: { manager: "Sie verwalten sie", member: "Sie sind darin", other: "Sie sind nicht darin" },
  shown: "in Ihren Servern",
  hidden: "nicht in Ihren Servern",
  show: "In meinen Servern zeigen",
  hide: "Aus meinen Servern heraushalten",
  showing: (name) => `Ihre Server zeigen ${name} ab ihrem nächsten Start`,
  hiding: (name) => `Ihre Server sind ab ihrem nächsten Start ohne ${name}`,
  members: "Mitglieder",
  membersOf: (name) => `Mitglieder von ${name}`,
  add: "Hinzufügen",
  who: "Wen hinzufügen",
  whoMore: "Adressen, so viele Sie wollen: Fügen Sie eine ganze Liste ein. Angemeldet haben muss sich noch niemand.",
  wrong: (names) => `Das sind keine Adressen: ${names}`,
  added: "hinzugefügt",
  remove: "Aus der Gruppe nehmen",
  removed: (who) => `${who} ist nicht mehr in der Gruppe`,
  manager: "Zum Verwalter machen",
  notManager: "Nur zum Mitglied machen",
  managing: (who) => `${who} verwaltet jetzt die Gruppe`,
  notManaging: (who) => `${who} ist nur noch Mitglied`,
  leave: "Verlassen",
  leaving: (name) => `${name} verlassen?`,
  leavingMore: "Ihr Verzeichnis und was mit ihr geteilt ist dürfen Sie dann nicht mehr benutzen. Server, die es enthalten, werden gestoppt.",
  left: (name) => `Sie haben ${name} verlassen`,
  you: "Sie",
  files: "Dateien",
  deleting: (name) => `${name} endgültig löschen?`,
  deletingMore: "Ihr Verzeichnis geht mit allen Dateien darin, und alles, was mit der Gruppe geteilt war. Server, die es enthalten, werden gestoppt. Das lässt sich nicht zurücknehmen.",
  deletingYes: "Gruppe und Dateien löschen",
}

const WAIT = { Prefer: "wait=5" }

const weight = (one: Group) => (one.manager ? 0 : one.member ? 1 : 2)

/** All groups by name, one's own first, and who is in them. */
export default function Groups() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const me = useMe().data
  const form: Form<Group, { name: string }, { name: string }> = {
    empty: { name: "" },
    of: ({ name }) => ({ name }),
    body: ({ name }) => ({ name: name.trim() }),
    whole: ({ name }, record) => name.trim() !== "" && name.trim() !== record?.name,
    fields: ({ draft, set }) => (
      <Line path="name" label={words.common.name} more={sayings.nameMore} value={draft.name} onChange={(name) => set({ name })} isRequired autoFocus maxLength={64} />
    ),
  }
  const manages = (one: Group) => one.manager || me?.admin === true
  return (
    <Records
      kind={groups}
      sayings={sayings}
      form={form}
      may={me?.can.create_group}
      changes={manages}
      deletes={manages}
      about={(one) => sayings.roles[one.manager ? "manager" : one.member ? "member" : "other"]}
      side={(one) => one.member && <span className="small muted">{one.shown === false ? sayings.hidden : sayings.shown}</span>}
      actions={(one) => (one.member || manages(one)) && <Belonging group={one} manages={manages(one)} />}
      ask={{ title: sayings.deleting, more: sayings.deletingMore, yes: sayings.deletingYes }}
      order={(a, b) => weight(a) - weight(b)}
    />
  )
}

/** What a member does with a group. */
function Belonging({ group, manages }: { group: Group; manages: boolean }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const known = useQueryClient()
  const me = useMe().data
  const [open, setOpen] = useState(false)
  const [leaving, setLeaving] = useState(false)
  const path = { id: group._id, memberEmail: me?.email ?? "" }
  const looked = () => Promise.all(["group", "me"].map((key) => known.invalidateQueries({ queryKey: [key] })))
  const show = useMutation({
    mutationFn: (shown: boolean) => told(api.PATCH("/groups/{id}/members/{memberEmail}", { params: { path, header: WAIT }, body: { shown } })),
    onSuccess: (_, shown) => say((shown ? sayings.showing : sayings.hiding)(group.name)),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: looked,
  })
  const leave = useMutation({
    mutationFn: () => told(api.DELETE("/groups/{id}/members/{memberEmail}", { params: { path, header: WAIT } })),
    onSuccess: () => say(sayings.left(group.name)),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: looked,
  })
  return (
    <>
      <Button onPress={() => setOpen(true)} aria-label={`${sayings.members}: ${group.name}`}>
        {sayings.members}
      </Button>
      {group.member && (
        <Menu
          label={sayings.roles.member}
          button={
            <Button weight="quiet" aria-label={`${sayings.you}: ${group.name}`}>
              {sayings.you} <span aria-hidden="true">▾</span>
            </Button>
          }
        >
          <MenuItem onAction={() => show.mutate(group.shown === false)}>{group.shown === false ? sayings.show : sayings.hide}</MenuItem>
          <MenuItem onAction={() => setLeaving(true)}>{sayings.leave} …</MenuItem>
        </Menu>
      )}
      {open && <Members group={group} manages={manages} onClose={() => setOpen(false)} />}
      <Ask
        title={sayings.leaving(group.name)}
        yes={sayings.leave}
        no={words.common.cancel}
        open={leaving}
        onYes={() => leave.mutate()}
        onClose={() => setLeaving(false)}
      >
        {sayings.leavingMore}
      </Ask>
    </>
  )
}

function Members({ group, manages, onClose }: { group: Group; manages: boolean; onClose: () => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const known = useQueryClient()
  const me = useMe().data
  const members = usePages(["group", "members", group._id], (cursor) =>
    paged(api.GET("/groups/{id}/members", { params: { path: { id: group._id }, query: { limit: 200, ...at(cursor) } } })),
  )
  const looked = () => known.invalidateQueries({ queryKey: ["group"] })
  const change = useMutation({
    mutationFn: ({ who, to }: { who: string; to: "gone" | "manager" | "member" }) => {
      const params = { path: { id: group._id, memberEmail: who }, header: WAIT }
      return to === "gone"
        ? told(api.DELETE("/groups/{id}/members/{memberEmail}", { params }))
        : told(api.PATCH("/groups/{id}/members/{memberEmail}", { params, body: { manager: to === "manager" } }))
    },
    onSuccess: (_, { who, to }) => {
      if (to === "gone") say(sayings.removed(who), { label: words.common.undo, run: () => add.mutate([who]) })
      else say((to === "manager" ? sayings.managing : sayings.notManaging)(who))
    },
    onError: (error) => complain(words.trouble.request, error),
    onSettled: looked,
  })
  const [results, setResults] = useState<{ who: string; refused?: string }[]>([])
  const add = useMutation({
    // One after the other: each is a request of its own, and one that is refused does not keep the others out.
    mutationFn: async (all: string[]) => {
      const done: typeof results = []
      for (const who of all) {
        const asked = api.POST("/groups/{id}/members", { params: { path: { id: group._id }, query: { memberEmail: who }, header: WAIT } })
        const refused = await told(asked).then(
          () => undefined,
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        )
        done.push({ who, ...(refused && { refused }) })
        setResults([...done])
      }
      return done
    },
    onSettled: looked,
  })
  const all = members.all
  return (
    <Window title={sayings.membersOf(group.name)} open onClose={onClose} wide>
      {manages && <Add onAdd={(who) => add.mutateAsync(who)} waits={add.isPending} />}
      {results.length > 0 && (
        <ul className="results small" aria-live="polite">
          {results.map((one) => (
            <li key={one.who} className={one.refused ? "bad" : undefined}>
              {one.who}: {one.refused ?? sayings.added}
            </li>
          ))}
        </ul>
      )}
      {members.error && !all ? (
        <Trouble error={members.error} />
      ) : !all ? (
        <Loading />
      ) : (
        <ul className="lines plain long" tabIndex={0} aria-label={sayings.membersOf(group.name)}>
          {all.map((who) => (
            <li key={who}>
              <span className="name">{who}</span>
              {who === me?.email && <span className="small muted">{sayings.you}</span>}
              {manages && (
                <span className="end">
                  <Menu
                    label={words.common.more(who)}
                    button={
                      <Button weight="quiet" className="icon" aria-label={words.common.more(who)}>
                        <span aria-hidden="true">⋯</span>
                      </Button>
                    }
                  >
                    <MenuItem onAction={() => change.mutate({ who, to: "manager" })}>{sayings.manager}</MenuItem>
                    <MenuItem onAction={() => change.mutate({ who, to: "member" })}>{sayings.notManager}</MenuItem>
                    <MenuItem onAction={() => change.mutate({ who, to: "gone" })}>{sayings.remove}</MenuItem>
                  </Menu>
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      <Rest list={members} />
      <div className="actions end">
        <Link className="button quiet" href={`/files/groups/${group._id}`}>
          {sayings.files}
        </Link>
        <Button onPress={onClose}>{words.common.close}</Button>
      </div>
    </Window>
  )
}

function Add({ onAdd, waits }: { onAdd: (who: string[]) => Promise<{ who: string; refused?: string }[]>; waits: boolean }) {
  const sayings = useSpoken({ en, de })
  const [text, setText] = useState("")
  const all = wordsOf(text)
  const wrong = all.filter((one) => !one.includes("@"))
  const whole = all.length > 0 && wrong.length === 0 && !waits
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        // What was refused stays, to be mended.
        if (whole) void onAdd(all).then((done) => setText(done.filter((one) => one.refused).map((one) => one.who).join(", ")))
      }}
    >
      <Addresses
        label={sayings.who}
        more={wrong.length > 0 && !/[^\s,;]$/.test(text) ? sayings.wrong(wrong.join(", ")) : sayings.whoMore}
        value={text}
        onChange={setText}
        invalid={wrong.length > 0 && !/[^\s,;]$/.test(text)}
      />
      <div className="actions">
        <Button type="submit" weight="primary" isDisabled={!whole}>
          {sayings.add}
        </Button>
      </div>
    </form>
  )
}
