/** A list of what one has, and its forms: the same for every kind. */
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useDeferredValue, useState } from "react"
import { Input } from "react-aria-components/Input"
import { SearchField } from "react-aria-components/SearchField"

import type { Kind } from "../../api/kinds"
import { at, usePages } from "../../api/pages"
import { useTrash } from "../../api/queries"
import { useSpoken, useTimes, useWords } from "../../i18n"
import { Ask } from "../../kit/Ask"
import { Button } from "../../kit/Button"
import { Menu, MenuItem } from "../../kit/Menu"
import { Empty, Notice } from "../../kit/Notice"
import { Rest } from "../../kit/Rest"
import { complain, say } from "../../kit/toasts"
import { Loading, Trouble } from "../Home"
import { Share, type Shared } from "../Share"
import { useAddress } from "../address"
import { useTitle } from "../title"
import { Editor, type Form } from "./Editor"
import { part, stay, useParting } from "./parting"
import { words as table } from "./words"

/** How many come at once. */
const SOME = 100
/** From so many on there is a box to search them. */
const MANY = 8

/** What the list of one kind says. */
export interface Sayings {
  title: string
  more: string
  create: string
  edit: (name: string) => string
  none: string
  noneMore: string
}

interface Listing<T extends { _id: string }, D extends object, B> {
  kind: Kind<T, B>
  sayings: Sayings
  form: Form<T, D, B>
  /** Whether one may make another. */
  may: boolean | undefined
  /** Whether one may change it, and delete it. */
  changes: (one: T) => boolean
  deletes: (one: T) => boolean
  /** What is said beneath the name, and at the side. */
  about: (one: T) => ReactNode
  side?: (one: T) => ReactNode
  shared?: (one: T) => Shared | undefined
  /** What else one may do, before the menu. */
  actions?: (one: T) => ReactNode
  /** What is asked before one is gone for good; without it, there is a moment to take it back. */
  ask?: { title: (name: string) => string; more: string; yes: string }
  order?: (a: T, b: T) => number
}

export function Records<T extends { _id: string }, D extends object, B>(listing: Listing<T, D, B>) {
  const { kind, sayings, form, may } = listing
  const words = useSpoken(table)
  useTitle(sayings.title)
  const [query, turn] = useAddress()
  const q = query.get("q") ?? ""
  const asked = useDeferredValue(q)
  const list = usePages([kind.name, "list", asked], (cursor) =>
    kind.list({ limit: SOME, ...(asked && { q: asked }), ...at(cursor) }),
  )
  const all = list.all
  const shown = listing.order ? all?.toSorted(listing.order) : all
  const edited = query.get("edit") ?? undefined
  return (
    <div className="stack">
      <section aria-labelledby="title">
        <div className="heading">
          <div>
            <h1 id="title">{sayings.title}</h1>
            <p className="muted">{may === false ? words.limit : sayings.more}</p>
          </div>
          <div className="actions">
            {(q || (all && all.length >= MANY)) && (
              <SearchField className="search" aria-label={words.search} value={q} onChange={(text) => turn({ q: text || null })}>
                <Input placeholder={words.search} />
              </SearchField>
            )}
            <Button weight="primary" onPress={() => turn({ new: "1" })} isDisabled={!may}>
              {sayings.create}
            </Button>
          </div>
        </div>
        {list.error && !all ? (
          <Trouble error={list.error} />
        ) : !shown ? (
          <Loading />
        ) : shown.length === 0 ? (
          <div className="panel">
            {q ? (
              <Empty action={<Button onPress={() => turn({ q: null })}>{words.clear}</Button>}>{words.nothingFound(q)}</Empty>
            ) : (
              <Empty title={sayings.none}>{sayings.noneMore}</Empty>
            )}
          </div>
        ) : (
          <ul className="panel lines records">
            {shown.map((one) => (
              <Line key={one._id} one={one} listing={listing} onEdit={() => turn({ edit: one._id })} />
            ))}
          </ul>
        )}
        <Rest list={list} narrow={words.narrow} />
      </section>
      {kind.restore && <Trash kind={kind} />}
      {query.has("new") && may && <Editor kind={kind} form={form} title={sayings.create} onClose={() => turn({ new: null })} />}
      {edited && <Editor key={edited} kind={kind} form={form} id={edited} title={sayings.edit} onClose={() => turn({ edit: null })} />}
    </div>
  )
}

function Line<T extends { _id: string }, D extends object, B>({
  one,
  listing,
  onEdit,
}: {
  one: T
  listing: Listing<T, D, B>
  onEdit: () => void
}) {
  const { kind, ask } = listing
  const words = useSpoken(table)
  const { common, share, trouble } = useWords()
  const known = useQueryClient()
  const [sharing, setSharing] = useState(false)
  const [asking, setAsking] = useState(false)
  const restore = useRestore(kind)
  const goes = useParting().has(one._id)
  const name = kind.nameOf(one)
  const remove = useMutation({
    mutationFn: () => kind.remove(one._id),
    onSuccess: () => {
      if (kind.restore) say(words.trashed(name), { label: common.undo, run: () => restore.mutate(one._id) })
      else if (ask) say(words.gone(name))
    },
    onError: (error) => complain(trouble.request, error),
    onSettled: () => looked(known, kind),
  })
  const wish = () => {
    if (kind.restore) return remove.mutate()
    if (ask) return setAsking(true)
    part(one._id, () => remove.mutate())
    say(words.parting(name), { label: common.undo, run: () => stay(one._id) })
  }
  const shared = listing.shared?.(one)
  const changes = listing.changes(one)
  const deletes = listing.deletes(one)
  return (
    <li className={goes || remove.isPending ? "going" : undefined}>
      <div className="what">
        <span className="name">{name}</span>
        <div className="small muted">{listing.about(one)}</div>
      </div>
      {listing.side?.(one)}
      <div className="actions end">
        {listing.actions?.(one)}
        {shared && (
          <Button onPress={() => setSharing(true)} aria-label={`${share.button} ${name}`}>
            {share.button}
          </Button>
        )}
        {(changes || deletes) && (
          <Menu
            label={common.more(name)}
            button={
              <Button weight="quiet" className="icon" aria-label={common.more(name)} isDisabled={goes || remove.isPending}>
                <span aria-hidden="true">⋯</span>
              </Button>
            }
          >
            {changes && <MenuItem onAction={onEdit}>{common.edit}</MenuItem>}
            {deletes && <MenuItem onAction={wish}>{ask ? `${common.remove} …` : common.remove}</MenuItem>}
          </Menu>
        )}
      </div>
      {shared && sharing && <Share what={shared} open onClose={() => setSharing(false)} />}
      {ask && (
        <Ask title={ask.title(name)} yes={ask.yes} no={common.cancel} open={asking} onYes={() => remove.mutate()} onClose={() => setAsking(false)}>
          {ask.more}
        </Ask>
      )}
    </li>
  )
}

function looked(known: ReturnType<typeof useQueryClient>, kind: { name: string }) {
  return Promise.all([kind.name, "trash", "me"].map((key) => known.invalidateQueries({ queryKey: [key] })))
}

function useRestore<T extends { _id: string }, B>(kind: Kind<T, B>) {
  const words = useSpoken(table)
  const trouble = useWords().trouble
  const known = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => kind.restore?.(id) ?? Promise.reject(new Error(kind.name)),
    onSuccess: (restored) => say(words.restored(kind.nameOf(restored))),
    onError: (error) => complain(trouble.request, error),
    onSettled: () => looked(known, kind),
  })
}

function Trash<T extends { _id: string }, B>({ kind }: { kind: Kind<T, B> }) {
  const words = useSpoken(table)
  const common = useWords().common
  const times = useTimes()
  const trash = useTrash()
  const trashed = (trash.all ?? []).filter((one) => one.kind === kind.name)
  const restore = useRestore(kind)
  if (trash.error && !trash.all) return <Notice title={words.trash}>{trash.error.message}</Notice>
  if (trashed.length === 0 && !trash.hasMore) return null
  return (
    <section aria-labelledby="trash">
      <h2 id="trash">{words.trash}</h2>
      <ul className="panel lines">
        {trashed.map((one) => (
          <li key={one._id}>
            <div className="what">
              <span className="name">{one.name}</span>
              <div className="small muted">{words.purged(times.day(one.purged_at))}</div>
            </div>
            <div className="actions end">
              <Button isDisabled={restore.isPending} onPress={() => restore.mutate(one._id)} aria-label={`${common.restore} ${one.name}`}>
                {common.restore}
              </Button>
            </div>
          </li>
        ))}
      </ul>
      {trash.hasMore && (
        <div className="rest">
          <p className="small muted">{words.moreTrash}</p>
          <Button onPress={trash.more} isDisabled={trash.loadsMore}>
            {common.rest}
          </Button>
        </div>
      )}
    </section>
  )
}
