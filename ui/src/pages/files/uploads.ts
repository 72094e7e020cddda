/** Files on their way to the API. They go on whatever page is shown. */
import { useSyncExternalStore } from "react"

import { api, content, told } from "../../api/client"
import { Refused } from "../../api/errors"
import type { components } from "../../api/schema"

export type Root = components["schemas"]["Root"]

export interface Upload {
  readonly id: string
  readonly root: Root
  /** Where it will be, relative to the root. */
  readonly path: string
  readonly file: File
  readonly state: "waits" | "goes" | "done" | "exists" | "failed" | "cancelled"
  /** Bytes that are there. */
  readonly sent: number
  readonly why?: string
}

/** So much goes at once; of what is larger one sees how far it is, and it goes on after a cut. */
const PART_BYTES = 4 * 2 ** 20
const AT_ONCE = 2
const TRIES = 5
const PAUSE_MS = 1500

let uploads: readonly Upload[] = []
const watchers = new Set<() => void>()
const stops = new Map<string, AbortController>()
let arrived: (upload: Upload) => void = () => undefined

/** Be told when a file is there. */
export function onArrival(told: (upload: Upload) => void): void {
  arrived = told
}

function become(next: readonly Upload[]) {
  uploads = next
  for (const watcher of watchers) watcher()
}

function change(id: string, part: Partial<Upload>) {
  become(uploads.map((one) => (one.id === id ? { ...one, ...part } : one)))
}

/** The uploads of this page, the latest last. */
export function useUploads(): readonly Upload[] {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
    () => uploads,
  )
}

/** Send files. A file that is there already is not replaced. */
export function upload(root: Root, files: readonly { path: string; file: File }[]): void {
  const added = files.map(({ path, file }) => ({ id: crypto.randomUUID?.() ?? String(Math.random()), root, path, file, state: "waits" as const, sent: 0 }))
  become([...uploads, ...added])
  go()
}

/** Send one again, in place of what is there. */
export function replace(id: string): void {
  change(id, { state: "waits", sent: 0 })
  replacing.add(id)
  go()
}

export function retry(id: string): void {
  change(id, { state: "waits", sent: 0 })
  go()
}

export function cancel(id: string): void {
  stops.get(id)?.abort()
  change(id, { state: "cancelled" })
}

/** Forget those that have ended. */
export function clear(): void {
  become(uploads.filter((one) => one.state === "waits" || one.state === "goes"))
}

const replacing = new Set<string>()

const ask = (event: BeforeUnloadEvent) => event.preventDefault()

function go(): void {
  const going = uploads.filter((one) => one.state === "goes").length
  for (const one of uploads.filter((each) => each.state === "waits").slice(0, AT_ONCE - going)) void send(one)
  if (uploads.some((one) => one.state === "goes")) addEventListener("beforeunload", ask)
  else removeEventListener("beforeunload", ask)
}

async function send(one: Upload): Promise<void> {
  const stop = new AbortController()
  stops.set(one.id, stop)
  change(one.id, { state: "goes" })
  // Only what one said may be replaced is.
  const condition: Record<string, string> = replacing.delete(one.id) ? {} : { "If-None-Match": "*" }
  try {
    if (one.file.size <= PART_BYTES) await whole(one, condition, stop.signal)
    else await inParts(one, condition, stop.signal)
    change(one.id, { state: "done", sent: one.file.size })
    arrived(one)
  } catch (error) {
    if (stop.signal.aborted) change(one.id, { state: "cancelled" })
    else if (error instanceof Refused && error.status === 412) change(one.id, { state: "exists" })
    else change(one.id, { state: "failed", why: error instanceof Error ? error.message : String(error) })
  }
  stops.delete(one.id)
  go()
}

async function whole({ root, path, file }: Upload, condition: Record<string, string>, signal: AbortSignal): Promise<void> {
  const query = new URLSearchParams({ root, path })
  const headers = { ...condition, "Content-Type": "application/octet-stream" }
  await content(`/volume/file?${query}`, { method: "PUT", headers, body: file, signal })
}

async function inParts({ id, root, path, file }: Upload, condition: Record<string, string>, signal: AbortSignal): Promise<void> {
  const begun = await told(api.POST("/volume/uploads", { body: { root, path, size: file.size } }))
  let { offset } = begun
  const giveUp = () => void told(api.DELETE("/volume/uploads/{id}", { params: { path: { id: begun._id } } })).catch(() => undefined)
  signal.addEventListener("abort", giveUp)
  let tries = 0
  for (;;) {
    const end = Math.min(offset + PART_BYTES, file.size)
    try {
      await content(`/volume/uploads/${begun._id}`, {
        method: "PATCH",
        headers: {
          ...condition,
          "Content-Type": "application/octet-stream",
          "Upload-Offset": String(offset),
          "Upload-Complete": end === file.size ? "?1" : "?0",
        },
        body: file.slice(offset, end),
        signal,
      })
      if (end === file.size) return
      offset = end
      tries = 0
    } catch (error) {
      if (!(error instanceof Refused && error.away) || ++tries === TRIES) {
        giveUp()
        throw error
      }
      await new Promise((wake) => setTimeout(wake, PAUSE_MS * tries))
      // A part that was cut off is there as far as it came.
      offset = await told(api.GET("/volume/uploads/{id}", { params: { path: { id: begun._id } } })).then(
        (seen) => seen.offset,
        () => offset,
      )
    }
    change(id, { sent: offset })
  }
}

/** The files of what was dropped, also those in directories, with their places; the empty directories beside them. */
export async function dropped(items: DataTransferItemList): Promise<{ path: string; file: File }[]> {
  const entries = [...items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  return (await Promise.all(entries.map((entry) => within(entry, "")))).flat()
}

async function within(entry: FileSystemEntry, before: string): Promise<{ path: string; file: File }[]> {
  const path = before + entry.name
  if (entry.isFile) {
    const file = await new Promise<File>((found, failed) => (entry as FileSystemFileEntry).file(found, failed))
    return [{ path, file }]
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    // It answers with some at a time, and with none in the end.
    const some = await new Promise<FileSystemEntry[]>((found, failed) => reader.readEntries(found, failed))
    if (some.length === 0) break
    all.push(...some)
  }
  return (await Promise.all(all.map((one) => within(one, `${path}/`)))).flat()
}
