import { useQueryClient } from "@tanstack/react-query"
import { useEffect, useRef, useState, useSyncExternalStore } from "react"

import { Refused } from "../api/errors"
import { useTimes, useWords } from "../i18n"
import type { Words } from "../i18n/en"
import { say } from "../kit/toasts"
import { parts } from "../live/parts"

/** What is away, since when, and what still works; it goes by itself, and says that it does. */
export function AwayNotice() {
  const words = useWords()
  const { of, away: isAway, back } = words.parts
  const times = useTimes()
  const unanswered = useUnanswered()
  const seen = useSyncExternalStore(parts.watch, parts.now)
  const shown = seen.filter((one): one is typeof one & { part: Part } => one.part in of)
  // Without Temporal no worker works either.
  const away = shown.filter((one) => one.part !== "workers" || !shown.some(({ part }) => part === "temporal"))
  const before = useRef<Part[]>([])
  useEffect(() => {
    for (const part of before.current) {
      if (!shown.some((one) => one.part === part)) say(back(of[part].name))
    }
    before.current = away.map((one) => one.part)
  }, [away, shown, of, back])
  return (
    <div role="status" className="away">
      {away.map(({ part, since }) => (
        <p key={part} className="notice busy">
          <strong>{isAway(of[part].name, times.short(new Date(since).toISOString()))}</strong>
          <span>{of[part].more}</span>
        </p>
      ))}
      {unanswered && away.length === 0 && (
        <p className="notice busy">
          <strong>{words.trouble.away}</strong>
          <span>{words.trouble.awayMore}</span>
        </p>
      )}
    </div>
  )
}

type Part = keyof Words["parts"]["of"]

/** Nothing is said of what mends itself within this. */
const SURE_MS = 2000

/** Whether something that is shown could not be looked at lately, and not only for a moment. */
function useUnanswered(): boolean {
  const cache = useQueryClient().getQueryCache()
  const [sure, setSure] = useState(false)
  const unanswered = useSyncExternalStore(
    (watcher) => cache.subscribe(watcher),
    () =>
      cache.getAll().some((query) => {
        const reason = query.state.fetchFailureReason ?? query.state.error
        return query.isActive() && reason instanceof Refused && reason.away
      }),
  )
  useEffect(() => {
    if (!unanswered) return
    const timer = setTimeout(() => setSure(true), SURE_MS)
    return () => {
      clearTimeout(timer)
      setSure(false)
    }
  }, [unanswered])
  return sure
}
