/** What the pages know: each question once, under one key. */
import { QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query"

import { datasets, paged } from "./kinds"
import { at, usePages } from "./pages"
import { type Operation, Refused, type Server, type TemplateCreate, api, onceKey, told } from "./client"

import { follows } from "../live/following"

/** How many of a list are read at once. */
const SOME = 100
const BUSY_MS = 1000
const IDLE_MS = 10_000
const STEP_MS = 700
/** Changes are told; this is for what nobody tells, such as the log of a start. */
const TOLD_MS = 60_000

const often = (milliseconds: number) => (follows.now ? TOLD_MS : milliseconds)

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      // What was refused is refused again; what had no answer is worth another try.
      retry: (failures, error) => failures < 2 && error instanceof Refused && error.away,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
})

export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: () => told(api.GET("/me")), staleTime: 30_000 })
}

export function isBusy(server: Server): boolean {
  return server.operation !== undefined || server.status === "starting" || server.status === "stopping"
}

/** One's own servers; looked at often while one of them is on its way. */
export function useServers(owner: string, { q = "", status }: { q?: string; status?: Server["status"] | undefined } = {}) {
  return usePages(
    ["servers", owner, q, status],
    (cursor) =>
      paged(
        api.GET("/servers", { params: { query: { owner, limit: SOME, ...(q && { q }), ...(status && { status }), ...at(cursor) } } }),
      ),
    { enabled: owner !== "", every: (servers) => often(servers.some(isBusy) ? BUSY_MS : IDLE_MS) },
  )
}

/** What one's servers are called that have this in their name. */
const takenBy = (owner: string, name: string) => ({
  queryKey: ["servers", owner, "names", name],
  queryFn: async () => {
    const named = await told(api.GET("/servers", { params: { query: { owner, q: name.slice(0, 128), fields: ["name"] } } }))
    return named.map((one) => one.name)
  },
})

export const useTaken = (owner: string, name: string) => useQuery({ ...takenBy(owner, name), enabled: owner !== "" && name !== "" })

export function useServer(id: string) {
  return useQuery({
    queryKey: ["server", id],
    queryFn: () => told(api.GET("/servers/{id}", { params: { path: { id } } })),
    refetchInterval: ({ state }) => often(state.data && isBusy(state.data) ? BUSY_MS : IDLE_MS),
  })
}

export function useOperation(id: string | undefined) {
  return useQuery({
    queryKey: ["operation", id],
    queryFn: () => told(api.GET("/operations/{id}", { params: { path: { id: id ?? "" } } })),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data && hasEnded(state.data) ? false : often(STEP_MS)),
  })
}

/** What was done with one record, the latest first. */
export function useOperations(subject: string, live: boolean) {
  return usePages(
    ["operations", subject],
    (cursor) => paged(api.GET("/operations", { params: { query: { subject, limit: 20, ...at(cursor) } } })),
    { every: () => often(live ? STEP_MS : IDLE_MS) },
  )
}

export function hasEnded(operation: Operation): boolean {
  return operation.ended_at !== undefined
}

/** Templates for the first page: those that are meant to stand there, then the newest that everybody may use; and how many there are. */
export function useOffered() {
  return useQuery({
    queryKey: ["template", "offered"],
    queryFn: async () => {
      const some = (type?: string) => paged(api.GET("/templates", { params: { query: type ? { type, limit: SOME } : { limit: SOME, count: true } } }))
      const [featured, quick, newest] = await Promise.all([some("featured"), some("quick-launch"), some()])
      const others = newest.items.filter((one) => one.type === "user" && one.public)
      return { items: [...featured.items, ...quick.items, ...others], total: newest.total }
    },
    staleTime: 30_000,
  })
}

/** The secrets that one's templates name, once for each; as many templates as the API tells at once. */
export function useUsedSecrets(creator: string | undefined) {
  return useQuery({
    queryKey: ["template", "secrets", creator],
    queryFn: async () => {
      const { items, next } = await paged(api.GET("/templates", { params: { query: { email: creator ?? "", fields: ["secrets"] } } }))
      return { used: items.flatMap((one) => [...new Set(one.secrets)]), more: next !== undefined }
    },
    enabled: creator !== undefined,
    staleTime: 30_000,
  })
}

export function useApplications() {
  return useQuery({ queryKey: ["applications"], queryFn: () => told(api.GET("/applications")), staleTime: 60_000 })
}

export function useHardware() {
  return useQuery({ queryKey: ["hardware"], queryFn: () => told(api.GET("/hardware")), staleTime: 60_000 })
}

/** Datasets that one may use, by name: as many as the API tells at once. */
export function useDatasets() {
  return useQuery({ queryKey: ["dataset", "many"], queryFn: () => datasets.list({}) })
}

export function useGroups() {
  return useQuery({
    queryKey: ["group", "all"],
    queryFn: () => told(api.GET("/groups", { params: { query: { limit: 1000 } } })),
    staleTime: 30_000,
  })
}

export function useOrganisations() {
  return useQuery({
    queryKey: ["organisations"],
    queryFn: () => told(api.GET("/orgs", { params: { query: { limit: 1000 } } })),
    staleTime: 30_000,
  })
}

/** What one owns and is in the trash, of all kinds. */
export function useTrash() {
  return usePages(["trash"], (cursor) => paged(api.GET("/trash", { params: { query: { ...(cursor && { cursor }) } } })))
}

/** Ask something of a server; what is shown of it is looked at again at once. */
export function useWish() {
  const known = useQueryClient()
  return useMutation({
    mutationFn: ({ id, wish }: { id: string; wish: "start" | "stop" | "delete" }) => {
      const params = { path: { id }, header: { "Idempotency-Key": onceKey() } }
      if (wish === "delete") return told(api.DELETE("/servers/{id}", { params }))
      return wish === "start"
        ? told(api.PUT("/servers/{id}/start", { params }))
        : told(api.PUT("/servers/{id}/stop", { params }))
    },
    onSettled: () =>
      Promise.all([
        known.invalidateQueries({ queryKey: ["servers"] }),
        known.invalidateQueries({ queryKey: ["server"] }),
        known.invalidateQueries({ queryKey: ["operations"] }),
      ]),
  })
}

/** A template, or what one of its own is made of; with `owner`, under a name that none of their servers has. */
type Launched = { template: string; key: string } | { made: TemplateCreate; key: string; owner?: string }

/** A name that none of these is yet. */
export function freeName(name: string, taken: readonly string[]): string {
  for (let number = 1; ; number++) {
    const tried = number === 1 ? name : `${name} ${number}`
    if (!taken.includes(tried)) return tried
  }
}

const named = async (made: TemplateCreate, owner: string): Promise<TemplateCreate> => ({
  ...made,
  name: freeName(made.name, await queries.fetchQuery({ ...takenBy(owner, made.name), staleTime: 0 })),
})

/** Make a server, of a template or with a template of its own, and have it start; the server. */
export function useLaunch() {
  const known = useQueryClient()
  return useMutation({
    mutationFn: async (what: Launched) => {
      const header = { "Idempotency-Key": what.key }
      const made = await ("template" in what
        ? told(api.PUT("/servers", { params: { query: { templateId: what.template }, header } }))
        : told(api.POST("/servers", { params: { header }, body: what.owner ? await named(what.made, what.owner) : what.made })))
      // A preview is answered with something else, and this is none.
      const server = made as Server
      await told(api.PUT("/servers/{id}/start", { params: { path: { id: server._id } } }))
      return server
    },
    onSuccess: () => known.invalidateQueries({ queryKey: ["servers"] }),
  })
}

/** How long one's starts took lately, in milliseconds: the middle one of them. */
export function useUsualStart(): number | undefined {
  return useQuery({
    queryKey: ["usual-start"],
    queryFn: () =>
      told(api.GET("/operations", { params: { query: { kind: "server.start", status: "succeeded", limit: 20 } } })),
    staleTime: 60_000,
    select: (starts) => {
      const spent = starts
        .flatMap((one) => (one.steps.length && one.ended_at ? Date.parse(one.ended_at) - Date.parse(one.created_at) : []))
        .sort((a, b) => a - b)
      return spent[Math.floor(spent.length / 2)]
    },
  }).data
}
