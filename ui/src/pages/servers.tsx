/** What the list of servers and the page of one show alike. */
import { type ReactNode, Suspense, lazy, useEffect, useState } from "react"
import { useLocation } from "wouter"

import type { Operation, Server } from "../api/client"
import { useHardware, useApplications, isBusy, useOperation, useUsualStart, useWish } from "../api/queries"
import { type Words } from "../i18n/en"
import { useTimes, useWords } from "../i18n"
import { Ask } from "../kit/Ask"
import { Button, ButtonAway } from "../kit/Button"
import { Menu, MenuItem } from "../kit/Menu"
import { type Mood, Status } from "../kit/Status"
import { complain, say } from "../kit/toasts"

const Share = lazy(() => import("./Share").then(({ Share }) => ({ default: Share })))

export const nameOf = (server: Server): string => server.templateData.name

/** Whether a server does not run although it was to: not one that somebody stopped, or that may not go on. */
export function hasFailed(server: Server): boolean {
  if (server.status !== "stopped" || server.last_error === undefined || isBusy(server)) return false
  const reason = server.stopped_reason?.reason
  return reason === undefined || !STOPPED.has(reason)
}

const STOPPED = new Set<string>(["person", "revoke", "release", "cancel", "hub"])

/** How a server is, in a word. A wish is shown as a wish until it is a fact. */
export function StatusOf({ server }: { server: Server }) {
  const words = useWords().server
  const wish = useOperation(server.operation).data?.kind
  if (hasFailed(server)) return <Status mood="bad">{words.status.failed}</Status>
  if (server.operation && wish && wish in words.asked && !(server.status in ON_THE_WAY)) {
    return <Status mood="busy">{words.asked[wish] ?? ""}</Status>
  }
  const moods: Record<Server["status"], Mood> = { running: "good", starting: "busy", stopping: "busy", stopped: "off" }
  return <Status mood={moods[server.status]}>{words.status[server.status]}</Status>
}

const ON_THE_WAY = { starting: true, stopping: true }

/** What a server has in it, in a line. */
export function insideOf(server: Server, words: Words): string {
  const { datasets, modules, secrets } = server.templateData
  const { inside } = words.server
  const parts = [
    datasets?.length && inside.datasets(datasets.length),
    modules?.length && inside.modules(modules.length),
    secrets?.length && inside.secrets(secrets.length),
  ].filter(Boolean)
  return parts.length ? parts.join(" · ") : inside.nothing
}

/** Why no server is started with this application or hardware, if none is. */
export function useWhyNot(): (made: { applicationType: string; hardware: string }) => string | undefined {
  const applications = useApplications().data
  const hardware = useHardware().data
  return (made) =>
    applications?.find((one) => one._id === made.applicationType)?.unavailable ??
    hardware?.find((one) => one._id === made.hardware)?.unavailable
}

/** Application and hardware, in a line. */
export function useMakeOf(): (made: { applicationType: string; hardware: string }) => string {
  const words = useWords()
  const applications = useApplications().data
  const hardware = useHardware().data
  return (made) => {
    const machine = hardware?.find((one) => one._id === made.hardware)
    const figures = machine && words.hardware(machine.cpu, gigabytes(machine.memory, words.locale), machine.gpu)
    const title = applications?.find((one) => one._id === made.applicationType)?.title ?? made.applicationType
    return [title, figures ?? made.hardware].join(" · ")
  }
}

export function gigabytes(bytes: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(bytes / 1024 ** 3)
}

/** How far an operation is: its step, for how long, and how long it usually takes in all. */
export function Progress({ operation: id }: { operation: string | undefined }) {
  const operation = useOperation(id).data
  const words = useWords()
  const times = useTimes()
  const usual = useUsualStart()
  const now = useNow(operation !== undefined && operation.ended_at === undefined)
  if (!operation || operation.ended_at) return null
  const step = operation.steps.at(-1)
  const spent = Math.max(0, now - Date.parse(operation.created_at))
  const starting = operation.kind === "server.start"
  const share = starting && usual ? Math.min(spent / usual, 0.97) : undefined
  return (
    <div className="progress">
      {share !== undefined && (
        <progress value={share} aria-label={words.server.progress}>
          {Math.round(share * 100)} %
        </progress>
      )}
      <div className="small muted num">
        {operation.waits_for ?? (step ? stepName(step.name, words) : words.outcomes[operation.status])}
        {" · "}
        {times.seconds(spent)}
        {starting && usual && ` (${words.server.usually(times.seconds(usual))})`}
      </div>
    </div>
  )
}

export const stepName = (name: string, words: Words): string => words.steps[name] ?? name

/** The time, while it matters. */
export function useNow(ticking: boolean): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!ticking) return
    const timer = setInterval(() => setNow(Date.now()), 200)
    return () => clearInterval(timer)
  }, [ticking])
  return now
}

/** The one thing that one most likely wants of a server, and what else there is. */
export function ServerActions({ server, onDetails }: { server: Server; onDetails?: () => void }) {
  const words = useWords()
  const [, go] = useLocation()
  const [sharing, setSharing] = useState(false)
  const [deleting, setDeleting] = useState(false)
  const wish = useWish()
  const name = nameOf(server)
  const ask = (what: "start" | "stop" | "delete") =>
    wish.mutate(
      { id: server._id, wish: what },
      {
        onSuccess: () => what === "delete" && say(words.server.deleted(name)),
        onError: (error) => complain(words.trouble.request, error),
      },
    )
  const waits = wish.isPending
  const under = useOperation(server.operation).data?.kind
  const starts = server.status === "starting" || (server.status === "stopped" && under === "server.start")
  const goes = under === "server.delete"
  return (
    <div className="actions">
      {server.status === "running" && !goes && (
        <>
          <Button onPress={() => ask("stop")} isDisabled={waits} aria-label={`${words.server.stop} ${name}`}>
            {words.server.stop}
          </Button>
          <ButtonAway weight="primary" href={server.url} aria-label={`${words.server.open} ${name}`}>
            {words.server.open}
          </ButtonAway>
        </>
      )}
      {starts && !goes && (
        <Button onPress={() => ask("stop")} isDisabled={waits} aria-label={`${words.server.cancelStart} ${name}`}>
          {words.server.cancelStart}
        </Button>
      )}
      {server.status === "stopped" && server.operation === undefined && (
        <Button onPress={() => ask("start")} isDisabled={waits} aria-label={`${words.server.start} ${name}`}>
          {hasFailed(server) ? words.server.tryAgain : words.server.start}
        </Button>
      )}
      <Menu
        label={words.common.more(name)}
        button={
          <Button weight="quiet" className="icon" aria-label={words.common.more(name)}>
            <span aria-hidden="true">⋯</span>
          </Button>
        }
      >
        {onDetails && <MenuItem onAction={onDetails}>{words.server.details}</MenuItem>}
        <MenuItem onAction={() => setSharing(true)}>{words.share.button}</MenuItem>
        <MenuItem onAction={() => setDeleting(true)}>{words.server.delete}</MenuItem>
      </Menu>
      {sharing && (
        <Suspense>
          <Share what={{ kind: "servers", id: server._id, name }} open onClose={() => setSharing(false)} />
        </Suspense>
      )}
      <Ask
        title={words.server.deleteTitle(name)}
        yes={words.server.deleteButton}
        no={words.common.cancel}
        open={deleting}
        onYes={() => {
          ask("delete")
          if (!onDetails) go("/")
        }}
        onClose={() => setDeleting(false)}
      >
        {words.server.deleteMore}
      </Ask>
    </div>
  )
}

/** Why a server is as it is, in a sentence, where there is one. */
export function Because({ server }: { server: Server }): ReactNode {
  const words = useWords()
  const times = useTimes()
  if (server.access_ends_at) return words.server.endsAt(times.short(server.access_ends_at))
  if (hasFailed(server)) return server.last_error?.message
  if (server.status === "running" && server.started_at) return words.time.since(times.short(server.started_at))
  if (server.status === "stopped" && server.stopped_reason) {
    return `${server.stopped_reason.message} · ${times.short(server.stopped_reason.at)}`
  }
  return null
}

/** How long an operation took. */
export function spentOn(operation: Operation): number | undefined {
  return operation.ended_at ? Date.parse(operation.ended_at) - Date.parse(operation.created_at) : undefined
}
