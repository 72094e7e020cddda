/** The public REST API, with the types that its document gives it. */
import createClient from "openapi-fetch"

import { Refused, noAnswer, refusalOf } from "./errors"
import type { components, paths } from "./schema"
import { currentToken, forget } from "./session"

type Schemas = components["schemas"]
export type Access = Schemas["AccessView"]
export type Application = Schemas["ApplicationView"]
export type Dataset = Schemas["DatasetView"]
export type Hardware = Schemas["HardwareView"]
export type Me = Schemas["MeView"]
export type Operation = Schemas["OperationView"]
export type Server = Schemas["ServerView"]
export type Template = Schemas["TemplateView"]
/** What is shared alike, as the API's addresses have it. */
export type Shareable = "datasets" | "modules" | "secret"
export type TemplateCreate = Schemas["TemplateCreate"]

async function authorised(request: Request): Promise<Response> {
  const again = request.clone()
  const answer = await sent(request)
  // The session of a token may end before the token does.
  return answer.status === 401 ? sent(again) : answer
}

async function sent(request: Request): Promise<Response> {
  const token = await currentToken()
  request.headers.set("Authorization", `Bearer ${token}`)
  const answer = await fetch(request).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error
    throw noAnswer()
  })
  if (answer.status === 401) forget(token)
  return answer
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: authorised })

/** A request whose body, or answer, is the content of a file; raises `Refused`. */
export async function content(address: string, init: RequestInit = {}): Promise<Response> {
  const answer = await authorised(new Request(new URL(address, location.origin), init))
  if (!answer.ok) throw await refusalOf(answer)
  return answer
}

/** What a request of `api` answers; raises `Refused`. */
export async function told<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked
  if (response.ok) return data as T
  throw await refusalOf(new Response(JSON.stringify(error), response))
}

/** A key that makes a repeated request the same request. */
export const onceKey = (): string => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`

export { Refused }
