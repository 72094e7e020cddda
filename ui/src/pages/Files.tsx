import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react"
import { Link, useLocation, useParams } from "wouter"

import { api, content, told } from "../api/client"
import { paged } from "../api/kinds"
import type { components } from "../api/schema"
import { useSpoken, useTimes, useWords } from "../i18n"
import { Ask, Window } from "../kit/Ask"
import { Button } from "../kit/Button"
import { Line, Refusing, standing } from "../kit/Form"
import { Menu, MenuItem } from "../kit/Menu"
import { Empty } from "../kit/Notice"
import { complain, say } from "../kit/toasts"
import { Refused } from "../api/errors"
import { Loading, Trouble } from "./Home"
import { type Root, cancel, clear, dropped, onArrival, replace, retry, upload, useUploads } from "./files/uploads"
import { words as table } from "./files/words"
import { part, stay, useParting } from "./records/parting"
import { useTitle } from "./title"

type Entry = components["schemas"]["EntryView"]

const ROOTS = ["notebooks", "datasets", "groups", "modules"] as const
const SOME = 500

const joined = (...parts: string[]) => parts.filter(Boolean).join("/")
const addressOf = (root: Root, path: string) => joined("/files", root, path.split("/").map(encodeURIComponent).join("/"))

/** The files of one's home, and of the datasets, groups and modules that one may use. */
export default function Files() {
  const sayings = useSpoken(table)
  useTitle(sayings.title)
  const rest = (useParams() as { "*"?: string })["*"] ?? ""
  const [first = "", ...others] = rest.split("/").map(decoded).filter(Boolean)
  const root = ROOTS.find((one) => one === first) ?? "notebooks"
  const path = others.join("/")
  return (
    <div className="stack">
      <div>
        <h1>{sayings.title}</h1>
        <nav className="tabs" aria-label={sayings.title}>
          {ROOTS.map((one) => (
            <Link key={one} href={addressOf(one, "")} aria-current={one === root ? "page" : undefined}>
              {sayings.roots[one]}
            </Link>
          ))}
        </nav>
      </div>
      <Directory key={`${root}/${path}`} root={root} path={path} />
      <Uploads />
    </div>
  )
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function Directory({ root, path }: { root: Root; path: string }) {
  const sayings = useSpoken(table)
  const words = useWords()
  const known = useQueryClient()
  const [, go] = useLocation()
  const [making, setMaking] = useState(false)
  const [over, setOver] = useState(false)
  const list = useInfiniteQuery({
    queryKey: ["files", root, path],
    queryFn: async ({ pageParam }) => {
      const look = () =>
        paged(
          api.GET("/volume/files", {
            params: { query: { root, limit: SOME, ...(path && { path }), ...(pageParam && { cursor: pageParam }) } },
          }),
        )
      try {
        return await look()
      } catch (error) {
        if (!(error instanceof Refused && error.status === 404) || root !== "notebooks" || path) throw error
        // Who has started no server yet has no home: it is made now.
        await told(api.PUT("/initialize", { params: { header: { Prefer: "wait=30" } } }))
        return look()
      }
    },
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
  })
  useEffect(() => onArrival((one) => void known.invalidateQueries({ queryKey: ["files", one.root] })), [known])
  // What is at the top of the other roots are records, which their own pages make.
  const inside = root === "notebooks" || path !== ""
  const put = (files: readonly { path: string; file: File }[]) =>
    upload(root, files.map((one) => ({ ...one, path: joined(path, one.path) })))
  const entries = list.data?.pages.flatMap((page) => page.items).toSorted(byKind)
  const parent = path.split("/").slice(0, -1).join("/")
  return (
    <section
      aria-label={sayings.where}
      className={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        if (!inside || !event.dataTransfer.types.includes("Files")) return
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        if (inside) dropped(event.dataTransfer.items).then(put, (error: unknown) => complain(words.trouble.request, error))
      }}
    >
      <div className="heading">
        <Crumbs root={root} path={path} />
        {inside && (
          <div className="actions">
            <Button onPress={() => setMaking(true)}>{sayings.folder}</Button>
            <Chosen label={sayings.uploadFolder} folder onChosen={put} />
            <Chosen label={sayings.upload} onChosen={put} primary />
          </div>
        )}
      </div>
      {list.error && !entries ? (
        <Trouble error={list.error} />
      ) : !entries ? (
        <Loading />
      ) : entries.length === 0 ? (
        <div className="panel">
          {inside ? <Empty title={sayings.empty}>{sayings.drop}</Empty> : <Empty>{sayings.emptyRoots[root as "datasets"]}</Empty>}
        </div>
      ) : (
        <List entries={entries} inside={inside} onUp={() => path && go(addressOf(root, parent))} />
      )}
      {list.hasNextPage && (
        <div className="rest">
          <Button onPress={() => void list.fetchNextPage()} isDisabled={list.isFetchingNextPage}>
            {words.common.rest}
          </Button>
        </div>
      )}
      {making && (
        <Named
          title={sayings.folder}
          label={sayings.folderName}
          yes={words.common.create}
          onClose={() => setMaking(false)}
          onName={(name) => told(api.POST("/volume/file", { body: { root, path, name, type: "directory" } }))}
        />
      )}
    </section>
  )
}

const byKind = (a: Entry, b: Entry) => Number(b.type === "directory") - Number(a.type === "directory")

function Crumbs({ root, path }: { root: Root; path: string }) {
  const sayings = useSpoken(table)
  const parts = path.split("/").filter(Boolean)
  const [record] = parts
  // The first part beneath these roots is the id of a record, which people know by its name.
  const titles = useQuery({
    queryKey: ["files", root, "titles"],
    queryFn: () => told(api.GET("/volume/files", { params: { query: { root } } })),
    enabled: root !== "notebooks" && record !== undefined,
    staleTime: 60_000,
  }).data
  const titleOf = (name: string, at: number) =>
    root !== "notebooks" && at === 0 ? (titles?.find((one) => one.name === name)?.title ?? "…") : name
  return (
    <ol className="crumbs" aria-label={sayings.where}>
      <li>{parts.length ? <Link href={addressOf(root, "")}>{sayings.roots[root]}</Link> : <b>{sayings.roots[root]}</b>}</li>
      {parts.map((name, at) => (
        <li key={at}>
          {at === parts.length - 1 ? (
            <b aria-current="location">{titleOf(name, at)}</b>
          ) : (
            <Link href={addressOf(root, parts.slice(0, at + 1).join("/"))}>{titleOf(name, at)}</Link>
          )}
        </li>
      ))}
    </ol>
  )
}

function Chosen({
  label,
  folder = false,
  primary = false,
  onChosen,
}: {
  label: string
  folder?: boolean
  primary?: boolean
  onChosen: (files: { path: string; file: File }[]) => void
}) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <Button weight={primary ? "primary" : "plain"} onPress={() => input.current?.click()}>
        {label}
      </Button>
      <input
        ref={(now) => {
          input.current = now
          if (folder) now?.setAttribute("webkitdirectory", "")
        }}
        type="file"
        multiple
        hidden
        aria-label={label}
        onChange={(event) => {
          onChosen([...(event.target.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })))
          event.target.value = ""
        }}
      />
    </>
  )
}

function List({ entries, inside, onUp }: { entries: Entry[]; inside: boolean; onUp: () => void }) {
  const sayings = useSpoken(table)
  const body = useRef<HTMLTableSectionElement>(null)
  const [renaming, setRenaming] = useState<Entry>()
  const remove = useRemove()
  const [asking, setAsking] = useState<Entry>()
  const wish = (entry: Entry) => (entry.type === "directory" ? setAsking(entry) : remove(entry, true))
  const words = useWords()
  const keys = (event: KeyboardEvent<HTMLElement>) => {
    const names = [...(body.current?.querySelectorAll<HTMLElement>(".name") ?? [])]
    const at = names.indexOf(document.activeElement as HTMLElement)
    if (at < 0) return
    const entry = entries[at]
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: names.length - 1 }[event.key]
    if (to !== undefined) names[to]?.focus()
    else if (event.key === "Backspace") onUp()
    else if (event.key === "F2" && inside && entry) setRenaming(entry)
    else if (event.key === "Delete" && inside && entry) wish(entry)
    else return
    event.preventDefault()
  }
  return (
    <div className="panel" onKeyDown={keys} role="presentation">
      <table className="rows files">
        <caption className="only-heard">{sayings.list}</caption>
        <thead>
          <tr>
            <th scope="col">{sayings.columns.name}</th>
            <th scope="col">{sayings.columns.size}</th>
            <th scope="col">{sayings.columns.changed}</th>
            <th scope="col">
              <span className="only-heard">{sayings.columns.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody ref={body}>
          {entries.map((entry) => (
            <Row
              key={entry.name}
              entry={entry}
              inside={inside}
              onRename={() => setRenaming(entry)}
              onDelete={() => wish(entry)}
            />
          ))}
        </tbody>
      </table>
      {renaming && (
        <Named
          title={sayings.renameTitle(renaming.name)}
          label={sayings.newName}
          yes={sayings.rename}
          begun={renaming.name}
          onClose={() => setRenaming(undefined)}
          onName={async (name) => {
            const { root, path } = renaming
            await told(api.POST("/volume/file/move", { body: { root, path: joined(path, renaming.name), to: joined(path, name) } }))
            say(sayings.renamed(name))
          }}
        />
      )}
      <Ask
        title={sayings.deleteTitle(asking?.name ?? "")}
        yes={sayings.deleteYes}
        no={words.common.cancel}
        open={asking !== undefined}
        onYes={() => asking && remove(asking, false)}
        onClose={() => setAsking(undefined)}
      >
        {sayings.deleteMore}
      </Ask>
    </div>
  )
}

/** Deletes something, in a moment if that can be taken back meanwhile. */
function useRemove(): (entry: Entry, inAMoment: boolean) => void {
  const sayings = useSpoken(table)
  const words = useWords()
  const known = useQueryClient()
  const removal = useMutation({
    mutationFn: ({ root, path, name }: Entry) =>
      told(api.DELETE("/volume/file", { params: { query: { root, path: joined(path, name) } } })),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: (_, __, { root }) => known.invalidateQueries({ queryKey: ["files", root] }),
  })
  return (entry, inAMoment) => {
    if (!inAMoment) return removal.mutate(entry)
    const id = idOf(entry)
    part(id, () => removal.mutate(entry))
    say(sayings.parting(entry.name), { label: words.common.undo, run: () => stay(id) })
  }
}

const idOf = (entry: Entry) => joined(entry.root, entry.path, entry.name)

function Row({ entry, inside, onRename, onDelete }: { entry: Entry; inside: boolean; onRename: () => void; onDelete: () => void }) {
  const sayings = useSpoken(table)
  const words = useWords()
  const times = useTimes()
  const goes = useParting().has(idOf(entry))
  const path = joined(entry.path, entry.name)
  const name = entry.title ?? entry.name
  const download = () => {
    say(sayings.downloading(entry.name))
    save(entry.root, path, entry.name).catch((error: unknown) => complain(words.trouble.request, error))
  }
  return (
    <tr className={goes ? "going" : undefined}>
      <th scope="row" className="entry">
        <span className={`kind ${entry.type}`} aria-hidden="true" />
        {entry.type === "directory" ? (
          <Link href={addressOf(entry.root, path)} className="name">
            {name}
          </Link>
        ) : (
          <button type="button" className="name" onClick={download} title={sayings.download}>
            {name}
          </button>
        )}
        <span className="only-heard">, {sayings.kind[entry.type]}</span>
      </th>
      <td className="small muted num">{entry.size !== undefined && bytes(entry.size, words.locale)}</td>
      <td className="small muted num">
        {entry.modified_at && (
          <time dateTime={entry.modified_at} title={times.full(entry.modified_at)}>
            {times.short(entry.modified_at)}
          </time>
        )}
      </td>
      <td>
        {inside && (
          <div className="actions">
            <Menu
              label={words.common.more(name)}
              button={
                <Button weight="quiet" className="icon" aria-label={words.common.more(name)} isDisabled={goes}>
                  <span aria-hidden="true">⋯</span>
                </Button>
              }
            >
              {entry.type === "file" && <MenuItem onAction={download}>{sayings.download}</MenuItem>}
              <MenuItem onAction={onRename}>{sayings.rename}</MenuItem>
              <MenuItem onAction={onDelete}>{entry.type === "directory" ? `${words.common.remove} …` : words.common.remove}</MenuItem>
            </Menu>
          </div>
        )}
      </td>
    </tr>
  )
}

/** Have the browser save a file. */
async function save(root: Root, path: string, name: string): Promise<void> {
  const answer = await content(`/volume/file?${new URLSearchParams({ root, path })}`)
  const link = document.createElement("a")
  link.href = URL.createObjectURL(await answer.blob())
  link.download = name
  link.click()
  // The browser has it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** So many bytes, as people say it. */
function bytes(many: number, locale: string): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"]
  const step = many < 1000 ? 0 : Math.min(Math.floor(Math.log10(many) / 3), units.length - 1)
  return new Intl.NumberFormat(locale, {
    style: "unit",
    unit: units[step] ?? "byte",
    unitDisplay: step ? "short" : "long",
    maximumFractionDigits: step ? 1 : 0,
  }).format(many / 1000 ** step)
}

/** Asks for a name. */
function Named({
  title,
  label,
  yes,
  begun = "",
  onName,
  onClose,
}: {
  title: string
  label: string
  yes: string
  begun?: string
  onName: (name: string) => Promise<unknown>
  onClose: () => void
}): ReactNode {
  const words = useWords()
  const known = useQueryClient()
  const [name, setName] = useState(begun)
  const naming = useMutation({
    mutationFn: (sent: { name: string }) => onName(sent.name.trim()),
    onSuccess: () => {
      onClose()
      return known.invalidateQueries({ queryKey: ["files"] })
    },
  })
  const refused = standing(naming.error, naming.variables, { name })
  const whole = name.trim() !== "" && name.trim() !== begun && !naming.isPending
  return (
    <Window title={title} open onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          if (whole) naming.mutate({ name })
        }}
      >
        <Refusing details={refused.details}>
          <Line path="name" label={label} value={name} onChange={setName} isRequired autoFocus maxLength={255} />
        </Refusing>
        {refused.error && <Trouble error={refused.error} />}
        <div className="actions end">
          <Button onPress={onClose}>{words.common.cancel}</Button>
          <Button type="submit" weight="primary" isDisabled={!whole}>
            {yes}
          </Button>
        </div>
      </form>
    </Window>
  )
}

function Uploads() {
  const sayings = useSpoken(table)
  const words = useWords()
  const uploads = useUploads()
  if (uploads.length === 0) return null
  return (
    <section aria-labelledby="uploads">
      <div className="heading">
        <h2 id="uploads">{sayings.uploads}</h2>
        <Button weight="quiet" onPress={clear}>
          {sayings.clear}
        </Button>
      </div>
      <ul className="panel lines uploads">
        {uploads.map((one) => (
          <li key={one.id}>
            <div className="what">
              <span className="name">{one.path.split("/").at(-1)}</span>
              <div className="small muted">
                {bytes(one.file.size, words.locale)}
                {one.why && ` · ${one.why}`}
              </div>
            </div>
            {one.state === "goes" ? (
              <progress value={one.file.size ? one.sent / one.file.size : 0} aria-label={one.path} />
            ) : (
              <span className={one.state === "failed" || one.state === "exists" ? "small bad" : "small muted"}>{sayings.states[one.state]}</span>
            )}
            <div className="actions end">
              {one.state === "exists" && <Button onPress={() => replace(one.id)}>{sayings.replace}</Button>}
              {(one.state === "failed" || one.state === "cancelled") && <Button onPress={() => retry(one.id)}>{words.common.again}</Button>}
              {(one.state === "waits" || one.state === "goes") && (
                <Button weight="quiet" onPress={() => cancel(one.id)} aria-label={`${words.common.cancel}: ${one.path}`}>
                  {words.common.cancel}
                </Button>
              )}
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}
