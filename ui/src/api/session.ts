/**
 * Who is signed in. The access token lives in this page's memory alone; a cookie that no script reads, and that is sent
 * to nothing but the sign-in, gets a fresh one.
 */
import { Refused, noAnswer, refusalOf } from "./errors"

export interface Session {
  readonly token: string
  readonly idToken: string
  /** In milliseconds since 1970. */
  readonly expiresAt: number
}

interface Tokens {
  access_token: string
  id_token: string
  expires_in: number
}

const WANTED = "nbhub-wanted"
const SIGNED_OUT = "nbhub-signed-out"
const PAGE = "/ui"
/** A token is exchanged so long before it ends. */
const EARLY_MS = 60_000
/** Tries, a second apart: what another page was given and never used is another's after fifteen seconds. */
const PATIENCE = 20

let session: Session | null = null
let asking: Promise<Session> | null = null
const others = new BroadcastChannel("nbhub-session")
const watchers = new Set<() => void>()

/** Be told when a page of this browser signed in again. */
export function onSignedIn(watcher: () => void): () => void {
  watchers.add(watcher)
  return () => watchers.delete(watcher)
}

others.onmessage = () => {
  for (const watcher of watchers) watcher()
}

/** A token that is good for a while yet; raises `Refused` of status 401 where nobody is signed in. */
export async function currentToken(): Promise<string> {
  if (session && session.expiresAt - EARLY_MS > Date.now()) return session.token
  return (await resume()).token
}

/** Forget a token that was refused, so that the next request brings another. */
export function forget(token: string): void {
  if (session?.token === token) session = null
}

/** Be signed in by the cookie of an earlier visit. */
export function resume(): Promise<Session> {
  // One of the pages of this browser asks at a time: the cookie is good for one use.
  asking ??= alone(() => exchange()).finally(() => {
    asking = null
  })
  return asking
}

/** Complete a sign-in with what the provider sent the browser back with; the address that was wanted first. */
export async function complete(parameters: URLSearchParams): Promise<string> {
  const code = parameters.get("code")
  const state = parameters.get("state")
  if (!code || !state) {
    const said = parameters.get("error_description") ?? parameters.get("error")
    throw new Refused(400, "SIGN_IN_REFUSED", said ?? "The sign-in provider sent no code.")
  }
  await alone(() => exchange({ code, state }))
  sessionStorage.removeItem(SIGNED_OUT)
  others.postMessage("signed-in")
  const wanted = sessionStorage.getItem(WANTED) ?? PAGE
  sessionStorage.removeItem(WANTED)
  return isOurs(wanted) ? wanted : PAGE
}

/** Leave for the sign-in provider, to come back to the address that is shown now or to another of ours. */
export async function signIn(wanted = location.pathname + location.search): Promise<void> {
  sessionStorage.setItem(WANTED, isOurs(wanted) ? wanted : PAGE)
  const answer = await fetch("/auth/authorize", { method: "POST" }).catch(() => {
    throw noAnswer()
  })
  if (!answer.ok) throw await refusalOf(answer)
  const { authorizationUrl } = (await answer.json()) as { authorizationUrl: string }
  location.assign(authorizationUrl)
}

/** End the session here and at the provider. */
export async function signOut(): Promise<void> {
  const { idToken } = session ?? (await resume())
  const answer = await fetch("/auth/logout", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ id_token: idToken }),
  })
  if (!answer.ok) throw await refusalOf(answer)
  session = null
  // Whoever sits here next finds nothing that was typed.
  sessionStorage.clear()
  sessionStorage.setItem(SIGNED_OUT, "1")
  const { logoutUrl } = (await answer.json()) as { logoutUrl: string }
  location.assign(logoutUrl)
}

/** Whether the person left on purpose: then nobody is signed in again without being asked. */
export function hasSignedOut(): boolean {
  return sessionStorage.getItem(SIGNED_OUT) !== null
}

function isOurs(path: string): boolean {
  return path === PAGE || path.startsWith(`${PAGE}/`) || path.startsWith(`${PAGE}?`)
}

async function exchange(code?: { code: string; state: string }): Promise<Session> {
  for (let tries = 0; ; tries++) {
    const answer = await fetch("/auth/session", {
      method: "POST",
      ...(code && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(code) }),
    }).catch(() => {
      throw noAnswer()
    })
    if (answer.ok) {
      const tokens = (await answer.json()) as Tokens
      session = {
        token: tokens.access_token,
        idToken: tokens.id_token,
        expiresAt: Date.now() + tokens.expires_in * 1000,
      }
      return session
    }
    const refusal = await refusalOf(answer)
    if (refusal.status !== 429 || tries === PATIENCE) throw refusal
    await new Promise((wake) => setTimeout(wake, (refusal.retryAfter ?? 1) * 1000))
  }
}

/** Locks need a secure address, which an address without https is on this machine alone. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  return navigator.locks ? await navigator.locks.request("nbhub-session", work) : await work()
}
