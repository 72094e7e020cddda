/** What the pages know: each question once, under one key. */
import { QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query"

import { type Operation, Refused, type Server, type TemplateCreate, api, onceKey, told } from "./client"

const BUSY_MS = 1000
const IDLE_MS = 10_000
const STEP_MS = 700

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
export function useServers(owner: string) {
  return useQuery({
    queryKey: ["servers", owner],
    queryFn: () => told(api.GET("/servers", { params: { query: { owner } } })),
    refetchInterval: ({ state }) => (state.data?.some(isBusy) ? BUSY_MS : IDLE_MS),
  })
}

export function useServer(id: string) {
  return useQuery({
    queryKey: ["server", id],
    queryFn: () => told(api.GET("/servers/{id}", { params: { path: { id } } })),
    refetchInterval: ({ state }) => (state.data && isBusy(state.data) ? BUSY_MS : IDLE_MS),
  })
}

export function useOperation(id: string | undefined) {
  return useQuery({
    queryKey: ["operation", id],
    queryFn: () => told(api.GET("/operations/{id}", { params: { path: { id: id ?? "" } } })),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data && hasEnded(state.data) ? false : STEP_MS),
  })
}

/** What was done with one record, the latest first. */
export function useOperations(subject: string, live: boolean) {
  return useQuery({
    queryKey: ["operations", subject],
    queryFn: () => told(api.GET("/operations", { params: { query: { subject, limit: 20 } } })),
    refetchInterval: live ? STEP_MS : IDLE_MS,
  })
}

export function hasEnded(operation: Operation): boolean {
  return operation.ended_at !== undefined
}

export function useTemplates() {
  return useQuery({
    queryKey: ["templates"],
    queryFn: () => told(api.GET("/templates", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  })
}

export function useApplications() {
  return useQuery({ queryKey: ["applications"], queryFn: () => told(api.GET("/applications")), staleTime: Infinity })
}

export function useHardware() {
  return useQuery({ queryKey: ["hardware"], queryFn: () => told(api.GET("/hardware")), staleTime: Infinity })
}

export function useDatasets() {
  return useQuery({
    queryKey: ["datasets"],
    queryFn: () => told(api.GET("/datasets", { params: { query: { limit: 200 } } })),
  })
}

export function useGroups() {
  return useQuery({
    queryKey: ["groups"],
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
  return useQuery({
    queryKey: ["trash"],
    queryFn: () => told(api.GET("/trash", { params: { query: { limit: 200 } } })),
  })
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

/** Make a server, of a template or with a template of its own, and have it start; the server. */
export function useLaunch() {
  const known = useQueryClient()
  return useMutation({
    mutationFn: async (what: { template: string; key: string } | { made: TemplateCreate; key: string }) => {
      const header = { "Idempotency-Key": what.key }
      const server = await ("template" in what
        ? told(api.PUT("/servers", { params: { query: { templateId: what.template }, header } }))
        : told(api.POST("/servers", { params: { header }, body: what.made })))
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
