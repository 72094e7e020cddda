/** What people make, name and share: how each kind is listed, read, made, changed and deleted. */
import { api, told } from "./client"
import type { components } from "./schema"

type Schemas = components["schemas"]
export type Dataset = Schemas["DatasetView"]
export type Group = Schemas["GroupView"]
export type Module = Schemas["ModuleView"]
export type Secret = Schemas["SecretView"]
export type Template = Schemas["TemplateView"]

/** A part of a list; `next` leads to what follows. */
export interface Page<T> {
  items: T[]
  next?: string
  /** How many there are in all, where that was asked. */
  total?: number
}

/** Which part of a list is asked for. */
export interface Asked {
  q?: string
  cursor?: string
  limit?: number
  count?: boolean
}

/** A record, and what says of which version it is. */
export interface Read<T> {
  record: T
  tag: string | null
}

/** A kind of record; the name is also the word of its events. */
export interface Kind<T extends { _id: string }, Body> {
  readonly name: "dataset" | "group" | "module" | "secret" | "template"
  list: (asked: Asked) => Promise<Page<T>>
  read: (id: string) => Promise<Read<T>>
  make: (body: Body, key: string) => Promise<T>
  /** Raises `Refused` of status 412 when it is not `tag` any more. */
  change: (id: string, body: Partial<Body>, tag: string | null) => Promise<T>
  remove: (id: string) => Promise<unknown>
  /** Brings one back out of the trash; a kind without it has none. */
  restore?: (id: string) => Promise<T>
  nameOf: (record: T) => string
}

type Answer<T> = Promise<{ data?: T; error?: unknown; response: Response }>

/** Where the part of a list that follows begins, if one does. */
export const nextOf = (answer: Response): string | undefined =>
  /[?&]cursor=([\w-]+)[^>]*>;\s*rel="next"/.exec(answer.headers.get("Link") ?? "")?.[1]

/** A part of a list, with the way to the next. */
export async function paged<T>(asked: Answer<T[]>): Promise<Page<T>> {
  const answer = await asked
  const items = await told(Promise.resolve(answer))
  const next = nextOf(answer.response)
  const total = answer.response.headers.get("Total-Count")
  return { items, ...(next && { next }), ...(total && { total: Number(total) }) }
}

async function read<T>(asked: Answer<T>): Promise<Read<T>> {
  const answer = await asked
  return { record: await told(Promise.resolve(answer)), tag: answer.response.headers.get("ETag") }
}

const made = (key: string) => ({ header: { "Idempotency-Key": key, Prefer: "wait=10" } })
const changed = (tag: string | null) => (tag ? { "If-Match": tag } : {})
const WAIT = { Prefer: "wait=5" }

export const datasets: Kind<Dataset, Schemas["DatasetCreate"]> = {
  name: "dataset",
  list: (query) => paged(api.GET("/datasets", { params: { query: { sort: "name", ...query } } })),
  read: (id) => read(api.GET("/datasets/{id}", { params: { path: { id } } })),
  make: (body, key) => told(api.POST("/datasets", { params: made(key), body })),
  change: (id, { name, description }, tag) =>
    told(
      api.PATCH("/datasets/{id}", {
        params: { path: { id }, header: changed(tag) },
        body: { ...(name !== undefined && { name }), ...(description !== undefined && { description }) },
      }),
    ),
  remove: (id) => told(api.DELETE("/datasets/{id}", { params: { path: { id }, header: WAIT } })),
  restore: (id) => told(api.POST("/datasets/{id}/restore", { params: { path: { id }, header: WAIT } })),
  nameOf: (one) => one.name,
}

export const groups: Kind<Group, Schemas["GroupBody"]> = {
  name: "group",
  list: (query) => paged(api.GET("/groups", { params: { query: { sort: "name", ...query } } })),
  read: (id) => read(api.GET("/groups/{id}", { params: { path: { id } } })),
  make: (body, key) => told(api.POST("/groups", { params: made(key), body })),
  change: (id, { name = "" }, tag) =>
    told(api.PATCH("/groups/{id}", { params: { path: { id }, header: { ...WAIT, ...changed(tag) } }, body: { name } })),
  remove: (id) => told(api.DELETE("/groups/{id}", { params: { path: { id }, header: WAIT } })),
  nameOf: (one) => one.name,
}

export const modules: Kind<Module, Schemas["ModuleCreate"]> = {
  name: "module",
  list: (query) => paged(api.GET("/modules", { params: { query: { sort: "name", ...query } } })),
  read: (id) => read(api.GET("/modules/{id}", { params: { path: { id } } })),
  make: (body, key) => told(api.POST("/modules", { params: made(key), body })),
  change: (id, body, tag) =>
    told(
      api.PATCH("/modules/{id}", {
        params: { path: { id }, header: { Prefer: "wait=10", ...changed(tag) } },
        body: body as Schemas["ModuleUpdate"],
      }),
    ),
  remove: (id) => told(api.DELETE("/modules/{id}", { params: { path: { id }, header: WAIT } })),
  restore: (id) => told(api.POST("/modules/{id}/restore", { params: { path: { id }, header: WAIT } })),
  nameOf: (one) => `${one.name}/${one.version}`,
}

export const secrets: Kind<Secret, Schemas["SecretCreate"]> = {
  name: "secret",
  list: (query) => paged(api.GET("/secrets", { params: { query: { sort: "name", ...query } } })),
  read: (id) => read(api.GET("/secret/{id}", { params: { path: { id } } })),
  make: (body, key) => told(api.POST("/secrets", { params: { header: { "Idempotency-Key": key } }, body })),
  change: (id, body, tag) =>
    told(
      api.PATCH("/secret/{id}", {
        params: { path: { id }, header: changed(tag) },
        body: body as Schemas["SecretUpdate"],
      }),
    ),
  remove: (id) => told(api.DELETE("/secret/{id}", { params: { path: { id }, header: WAIT } })),
  nameOf: (one) => one.secretName,
}

export const templates: Kind<Template, Schemas["TemplateCreate"]> = {
  name: "template",
  list: (query) => paged(api.GET("/templates", { params: { query: { sort: "name", ...query } } })),
  read: (id) => read(api.GET("/template", { params: { query: { templateId: id } } })),
  make: (body, key) => told(api.POST("/template", { params: { header: { "Idempotency-Key": key } }, body })),
  change: (id, body, tag) =>
    told(
      api.PATCH("/template", {
        params: { query: { templateId: id }, header: changed(tag) },
        body: body as Schemas["TemplateUpdate"],
      }),
    ),
  remove: (id) => told(api.DELETE("/template", { params: { query: { id } } })),
  nameOf: (one) => one.name,
}
