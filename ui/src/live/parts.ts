/**
 * Which parts of the service are away. One page of a browser asks, and tells the others: seldom while all is well, and at
 * once where a request of any of them had trouble.
 */
import type { components } from "../api/schema"

type Health = components["schemas"]["Health"]

export interface Away {
  /** As the health of the service names it. */
  part: string
  /** When it was first seen to be, in milliseconds since 1970: it may have been before. */
  since: number
}

const CALM_MS = 60_000
const AWAY_MS = 5000
/** One look may fail because there is much to do: a part is away that is so again after this. */
const SURE_MS = 2000
/** Trouble is looked into no more often than this. */
const SOONEST_MS = 3000

let known: readonly Away[] = []
const watchers = new Set<() => void>()

export const parts = {
  now: (): readonly Away[] => known,
  become(away: readonly Away[]): void {
    if (JSON.stringify(away) === JSON.stringify(known)) return
    known = away
    for (const watcher of watchers) watcher()
  },
  watch(watcher: () => void): () => void {
    watchers.add(watcher)
    return () => watchers.delete(watcher)
  },
}

let hurry: () => void = () => undefined

/** Have it looked into soon, since something had trouble. */
export function lookSoon(): void {
  hurry()
}

/** What `lookSoon` does, from now on. */
export function onTrouble(look: () => void): void {
  hurry = look
}

/** Look again and again, and tell what is away; returns how to have it looked at soon. */
export function look(tell: (away: readonly Away[]) => void, ended: AbortSignal): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = 0
  let looking = false
  // A look may be answered by what was seen a moment before: what had trouble is looked into twice.
  let wary = false
  let suspected: readonly Away[] = []
  const next = (milliseconds: number) => {
    clearTimeout(timer)
    if (!ended.aborted) timer = setTimeout(() => void once(), milliseconds)
  }
  const once = async () => {
    looking = true
    last = Date.now()
    const away = await seen(ended)
    looking = false
    // Who has no answer knows no more than before.
    if (away) {
      const before = [...known, ...suspected]
      suspected = away.map((part) => before.find((one) => one.part === part) ?? { part, since: Date.now() })
      tell(suspected.filter((one) => before.includes(one)))
    }
    const unsure = suspected.length > known.length || wary
    wary = false
    next(unsure ? SURE_MS : known.length > 0 ? AWAY_MS : CALM_MS)
  }
  ended.addEventListener("abort", () => clearTimeout(timer))
  void once()
  return () => {
    wary = true
    if (!looking) next(Math.max(0, last + SOONEST_MS - Date.now()))
  }
}

/** The parts that are away, where that is known. */
async function seen(ended: AbortSignal): Promise<string[] | undefined> {
  const answer = await fetch("/healthcheck", { signal: ended }).catch(() => undefined)
  const said = (await answer?.json().catch(() => undefined)) as Partial<Health> | undefined
  return said?.checks && Object.entries(said.checks).flatMap(([part, { status }]) => (status === "ok" ? [] : part))
}
