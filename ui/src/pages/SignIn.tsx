import { useEffect } from "react"

import type { Refused } from "../api/errors"
import { signIn } from "../api/session"
import { CALLBACK } from "../begin"
import { useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Brand } from "./Brand"

export function Waiting() {
  const words = useWords()
  return (
    <main className="alone" aria-busy="true">
      <Brand />
      <p className="muted late">{location.pathname === CALLBACK ? words.signIn.coming : words.signIn.leading}</p>
    </main>
  )
}

export function SignedOut() {
  const words = useWords()
  return (
    <main className="alone">
      <Brand />
      <h1>{words.signIn.out}</h1>
      <p className="muted">{words.signIn.outMore}</p>
      <Button weight="primary" onPress={() => void signIn()}>
        {words.signIn.button}
      </Button>
    </main>
  )
}

const AGAIN_MS = 2000

/** The sign-in stays where it is when it fails: going on by itself would be a circle. What had no answer is tried again. */
export function SignInRefused({ refusal, onAgain }: { refusal: Refused; onAgain: () => void }) {
  const words = useWords()
  useEffect(() => {
    if (!refusal.away) return
    const timer = setTimeout(onAgain, AGAIN_MS)
    return () => clearTimeout(timer)
  }, [refusal, onAgain])
  const elsewhere = refusal.code === "OTHER_ORIGIN"
  const title = refusal.away ? words.trouble.away : elsewhere ? words.signIn.elsewhere : words.signIn.failed
  return (
    <main className="alone" role="alert">
      <Brand />
      <h1>{title}</h1>
      <p className="muted">{refusal.away ? words.signIn.awayMore : `${refusal.message} ${refusal.hint ?? ""}`}</p>
      {!elsewhere && (
        <a className="button primary" href={location.pathname === CALLBACK ? "/ui" : location.href}>
          {words.common.again}
        </a>
      )}
    </main>
  )
}
