/** What is deleted in a moment, unless somebody takes that back: until then nothing was asked of the API. */
import { useSyncExternalStore } from "react"

/** How long one may think about it. */
const MOMENT_MS = 7000

let parting: ReadonlyMap<string, ReturnType<typeof setTimeout>> = new Map()
const watchers = new Set<() => void>()

function become(next: Map<string, ReturnType<typeof setTimeout>>) {
  parting = next
  for (const watcher of watchers) watcher()
}

/** Have `then` happen in a moment. */
export function part(id: string, then: () => void): void {
  const timer = setTimeout(() => {
    stay(id)
    then()
  }, MOMENT_MS)
  become(new Map(parting).set(id, timer))
}

/** Have it not happen. */
export function stay(id: string): void {
  clearTimeout(parting.get(id))
  const next = new Map(parting)
  next.delete(id)
  become(next)
}

/** Ids of what is about to go. */
export function useParting(): ReadonlyMap<string, unknown> {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
    () => parting,
  )
}
