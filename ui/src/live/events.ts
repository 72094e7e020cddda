/**
 * What changed, as the API tells it: one stream for all pages of a browser, whoever of them has the lock reads it and
 * tells the others. Nothing that is told is shown: it says what has to be read anew.
 */
import type { QueryKey } from "@tanstack/react-query"

import { content } from "../api/client"
import { queries } from "../api/queries"
import type { components } from "../api/schema"
import { follows } from "./following"
import { type Away, look, lookSoon, onTrouble, parts } from "./parts"

type Event = components["schemas"]["EventView"]
type News =
  | { is: "following" }
  | { is: "lost" }
  | { is: "reset" }
  | { is: "changed"; event: Event }
  | { is: "away"; away: readonly Away[] }
type Told = News | { is: "asks" } | { is: "trouble" }

/** The API gives a sign of life every 15 seconds. */
const SILENCE_MS = 40_000
const SOONEST_MS = 500
const LATEST_MS = 15_000
/** What changes at once is read once. */
const TOGETHER_MS = 80

const KINDS: Record<string, (event: Event) => QueryKey[]> = {
  server: ({ _id }) => [["servers"], ["server", _id], ["operations", _id]],
  operation: ({ _id, subject }) => [["operation", _id], ["operations", subject], ["operations", "all"]],
  group: () => [["group"], ["me"], ["dataset"], ["module"], ["secret"]],
}

/**
 * Follow what changes, for as long as this page is there; returns how to end it. Without locks nothing is followed, and
 * every page looks for itself what is away.
 */
export function follow(person: string): () => void {
  const end = new AbortController()
  if (!navigator.locks) {
    onTrouble(look(parts.become, end.signal))
    return () => end.abort()
  }
  const name = `nbhub-events ${person}`
  const others = new BroadcastChannel(name)
  let leads = false
  let hurry: (() => void) | undefined
  const tell = (told: News) => {
    hear(told)
    others.postMessage(told)
  }
  others.onmessage = ({ data }: MessageEvent<Told>) => {
    if (data.is === "trouble") hurry?.()
    else if (data.is !== "asks") hear(data)
    else if (leads) {
      if (follows.now) others.postMessage({ is: "following" } satisfies Told)
      others.postMessage({ is: "away", away: parts.now() } satisfies Told)
    }
  }
  onTrouble(() => (hurry ? hurry() : others.postMessage({ is: "trouble" } satisfies Told)))
  others.postMessage({ is: "asks" } satisfies Told)
  navigator.locks
    .request(name, { signal: end.signal }, () => {
      leads = true
      hurry = look((away) => tell({ is: "away", away }), end.signal)
      return lead(tell, end.signal)
    })
    .catch(() => undefined)
  return () => {
    end.abort()
    others.close()
  }
}

let waiting = new Map<string, QueryKey>()

function hear(told: News): void {
  if (told.is === "following") return follows.become(true)
  if (told.is === "away") return parts.become(told.away)
  if (told.is === "lost" || told.is === "reset") {
    follows.become(told.is === "reset")
    void queries.invalidateQueries()
    return
  }
  const { event } = told
  if (waiting.size === 0) {
    setTimeout(() => {
      const keys = [...waiting.values()]
      waiting = new Map()
      for (const queryKey of keys) void queries.invalidateQueries({ queryKey })
    }, TOGETHER_MS)
  }
  const keys = KINDS[event.kind]?.(event) ?? [[event.kind], ["trash"]]
  for (const key of keys) waiting.set(JSON.stringify(key), key)
}

/** Read the stream, again and again. */
async function lead(tell: (told: News) => void, ended: AbortSignal): Promise<void> {
  let last: string | undefined
  let pause = SOONEST_MS
  while (!ended.aborted) {
    try {
      for await (const { id, event, data } of stream(last, ended)) {
        last = id ?? last
        pause = SOONEST_MS
        if (event === "reset") tell({ is: "reset" })
        else if (event === "expired") break
        else if (event === "") tell({ is: "following" })
        else tell({ is: "changed", event: JSON.parse(data) as Event })
      }
    } catch {
      if (ended.aborted) return
      if (follows.now) {
        tell({ is: "lost" })
        lookSoon()
      }
      await new Promise((wake) => setTimeout(wake, pause * (0.75 + Math.random() / 2)))
      pause = Math.min(pause * 2, LATEST_MS)
    }
  }
}

interface Sent {
  id?: string
  /** Empty: the stream was taken up. */
  event: string
  data: string
}

async function* stream(last: string | undefined, ended: AbortSignal): AsyncGenerator<Sent> {
  const silence = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const alive = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), SILENCE_MS)
  }
  try {
    alive()
    const answer = await content("/events", {
      headers: { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) },
      signal: AbortSignal.any([ended, silence.signal]),
    })
    if (!answer.body) return
    if (last) yield { event: "", data: "" }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    for (;;) {
      const { value, done } = await reader.read()
      if (done) throw new Error("The stream ended.")
      alive()
      const parts = (text + value.replaceAll("\r\n", "\n")).split("\n\n")
      text = parts.pop() ?? ""
      for (const one of parts) {
        const sent = parsed(one)
        if (sent) yield sent
      }
    }
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}

function parsed(text: string): Sent | undefined {
  const fields = new Map<string, string>()
  for (const line of text.split("\n")) {
    const [, name = "", value = ""] = /^([^:]*): ?(.*)$/.exec(line) ?? []
    // A line without a name is a sign of life.
    if (name) fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value)
  }
  const event = fields.get("event")
  const id = fields.get("id")
  return event ? { event, data: fields.get("data") ?? "", ...(id && { id }) } : undefined
}
