import { useEffect, useState } from "react"
import { Link, useSearchParams } from "wouter"

import type { Operation, Server } from "../api/client"
import { Refused } from "../api/errors"
import { hasEnded, isBusy, useMe, useOperations, useServer, useUsualStart } from "../api/queries"
import { useTimes, useWords } from "../i18n"
import { Status, type Mood } from "../kit/Status"
import { CopyAs, type Ways, waysOf } from "../kit/CopyAs"
import { Notice } from "../kit/Notice"
import { Rest } from "../kit/Rest"
import { Loading, Trouble } from "./Home"
import { Missing } from "./Missing"
import { Because, ServerActions, StatusOf, hasFailed, insideOf, nameOf, spentOn, stepName, useMakeOf, useNow } from "./servers"
import { useTitle } from "./title"

/** One server: how it is, what it waits for, and what happened to it. With `open` it turns into the server itself. */
export default function ServerPage({ id }: { id: string }) {
  const server = useServer(id)
  if (server.error instanceof Refused && server.error.status === 404) return <Missing />
  if (server.error && !server.data) return <Trouble error={server.error} />
  return server.data ? <Found server={server.data} /> : <Loading />
}

function Found({ server }: { server: Server }) {
  const words = useWords()
  const makeOf = useMakeOf()
  const name = nameOf(server)
  const waiting = useOpening(server)
  const failed = hasFailed(server)
  const history = useOperations(server._id, isBusy(server))
  const operations = history.all ?? []
  useTitle(
    `${failed ? words.server.status.failed : words.server.status[server.status]} – ${name}`,
    failed ? "failed" : isBusy(server) ? "busy" : server.status === "running" ? "ready" : "idle",
  )
  return (
    <div className="stack narrow">
      <div>
        <Link href="/" className="back">
          ← {words.server.back}
        </Link>
        <div className="heading">
          <div>
            <h1>{name}</h1>
            <p className="muted">{makeOf(server.templateData)}</p>
          </div>
          <ServerActions server={server} />
        </div>
        <div className="how" aria-live="polite">
          <StatusOf server={server} />{" "}
          <span className="muted">
            {waiting === "waits" && words.server.waits}
            {waiting === "opening" && words.server.opening}
            {!failed && <Because server={server} />}
          </span>
        </div>
      </div>
      {failed && server.last_error && (
        <section className="stack tight">
          <Notice mood="bad" title={server.last_error.message}>
            {server.last_error.hint}
          </Notice>
          {server.last_error.log && (
            <figure>
              <figcaption className="small muted">{words.server.lastLines}</figcaption>
              <pre className="panel log" tabIndex={0}>
                {server.last_error.log}
              </pre>
            </figure>
          )}
        </section>
      )}
      <section aria-labelledby="history">
        <h2 id="history">{words.server.history}</h2>
        {operations.length === 0 ? (
          <p className="muted">{words.server.noHistory}</p>
        ) : (
          <ol className="panel lines">
            {operations.map((operation) => (
              <Happened key={operation._id} operation={operation} />
            ))}
          </ol>
        )}
        <Rest list={history} />
      </section>
      <section aria-labelledby="facts">
        <h2 id="facts">{words.server.facts.title}</h2>
        <dl className="panel facts">
          <dt>{words.server.facts.inside}</dt>
          <dd>{insideOf(server, words)}</dd>
          {server.templateData.filePath && (
            <>
              <dt>{words.server.facts.file}</dt>
              <dd>
                <code>{server.templateData.filePath}</code>
              </dd>
            </>
          )}
          <dt>{words.server.facts.owner}</dt>
          <dd>{server.owner}</dd>
        </dl>
      </section>
      <CopyAs ways={commandsOf(server)} />
    </div>
  )
}

/** What the next button of a server does, for a terminal and a program. */
function commandsOf({ _id, status }: Server): Ways {
  const verb = status === "stopped" || status === "stopping" ? "start" : "stop"
  return waysOf(`servers ${verb} ${_id}`, "PUT", `/servers/${_id}/${verb}`, `servers.${verb}("${_id}").wait()`)
}

/** Turn into the server once it runs, if that was wanted and somebody looks. */
function useOpening(server: Server): "waits" | "opening" | undefined {
  const [query, setQuery] = useSearchParams()
  const wanted = query.has("open")
  const [opening, setOpening] = useState(false)
  const failed = hasFailed(server)
  const ready = server.status === "running" && server.operation === undefined
  useEffect(() => {
    if (!wanted || !(ready || failed)) return
    // Whoever comes back by the browser's button wants this page.
    setQuery({}, { replace: true })
    if (ready && document.visibilityState === "visible") {
      setOpening(true)
      location.assign(server.url)
    }
  }, [wanted, ready, failed, server.url, setQuery])
  return opening ? "opening" : wanted ? "waits" : undefined
}

const MOODS: Record<string, Mood> = { queued: "busy", running: "busy", succeeded: "good", failed: "bad", cancelled: "off" }

function Happened({ operation }: { operation: Operation }) {
  const words = useWords()
  const times = useTimes()
  const me = useMe().data
  const usual = useUsualStart()
  const now = useNow(!hasEnded(operation))
  const spent = spentOn(operation) ?? Math.max(0, now - Date.parse(operation.created_at))
  return (
    <li className="happened">
      <div className="first">
        <Status mood={MOODS[operation.status] ?? "off"}>{words.kinds[operation.kind] ?? operation.kind}</Status>
        <span className="muted small">
          {words.outcomes[operation.status]}
          {operation.actor !== me?.email && ` · ${words.common.by(operation.actor)}`}
        </span>
        <time className="muted small end num" dateTime={operation.created_at} title={times.full(operation.created_at)}>
          {operation.steps.length > 0 && `${times.seconds(spent)} · `}
          {!hasEnded(operation) && usual && operation.kind === "server.start"
            ? words.server.usually(times.seconds(usual))
            : times.short(operation.created_at)}
        </time>
      </div>
      {operation.steps.length > 0 && (
        <ol className="steps">
          {operation.steps.map((step) => (
            <li key={step.name + step.started_at} className={step.status}>
              <span>{stepName(step.name, words)}</span>
              {step.detail && <span className="muted"> – {step.detail}</span>}
              <span className="muted num end">
                {times.seconds(Math.max(0, (step.ended_at ? Date.parse(step.ended_at) : now) - Date.parse(step.started_at)))}
              </span>
            </li>
          ))}
        </ol>
      )}
      {operation.waits_for && <p className="small">{operation.waits_for}</p>}
      {operation.error && (
        <p className="small bad">
          {operation.error.message} {operation.error.hint}
        </p>
      )}
      {operation.left_out?.map((one) => (
        <p key={one._id} className="small busy">
          {words.server.leftOut}: {one.kind}, {one.reason}
        </p>
      ))}
    </li>
  )
}
