import { useEffect, useSyncExternalStore } from "react"

import { Refused } from "../api/errors"
import { queries } from "../api/queries"
import { onSignedIn } from "../api/session"
import { useWords } from "../i18n"
import { ButtonAway } from "../kit/Button"
import { Window } from "../kit/Ask"

let ended = false
const watchers = new Set<() => void>()

function tell(now: boolean) {
  ended = now
  for (const watcher of watchers) watcher()
}

/** Note that a request was refused because nobody is signed in any more. */
export function noteRefusal(error: unknown): void {
  if (error instanceof Refused && error.status === 401 && !ended) tell(true)
}

/** Asks for the sign-in, in another tab, over whatever is shown: it is still there afterwards. */
export function SignInEnded() {
  const words = useWords()
  const open = useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
    () => ended,
  )
  useEffect(
    () =>
      onSignedIn(() => {
        tell(false)
        void queries.invalidateQueries()
      }),
    [],
  )
  return (
    <Window title={words.signIn.ended} open={open} onClose={() => undefined} role="alertdialog">
      <p>{words.signIn.endedMore}</p>
      <div className="actions end">
        <ButtonAway weight="primary" href="/ui/signed-in">
          {words.signIn.endedButton}
        </ButtonAway>
      </div>
    </Window>
  )
}
