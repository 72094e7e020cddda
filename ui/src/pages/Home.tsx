import { memo, useDeferredValue, useState } from "react"
import { Link, useLocation } from "wouter"
import { Input } from "react-aria-components/Input"
import { SearchField } from "react-aria-components/SearchField"

import { type Application, type Me, type Server, type Template, onceKey } from "../api/client"
import {
  useApplications,
  useDatasets,
  useHardware,
  useLaunch,
  useMe,
  useOffered,
  useServers,
} from "../api/queries"
import { useWords } from "../i18n"
import { Button, ButtonLink } from "../kit/Button"
import { Empty, Notice } from "../kit/Notice"
import { Rest } from "../kit/Rest"
import { complain } from "../kit/toasts"
import { useAddress } from "./address"
import { Because, Progress, ServerActions, StatusOf, gigabytes, insideOf, nameOf, useMakeOf, useWhyNot } from "./servers"
import { useTitle } from "./title"

/** So many templates are on the first page; a link leads to the others. */
const MOST_CARDS = 12

/** So many datasets of others are on the first page. */
const MOST_SHARED = 20

/** From so many on a list has a box to filter it. */
const MANY = 8

export function Home() {
  const words = useWords()
  useTitle(words.nav.servers)
  const me = useMe()
  if (me.error && !me.data) return <Trouble error={me.error} />
  if (!me.data) return <Loading />
  return (
    <div className="stack">
      <MyServers me={me.data} />
      <Start me={me.data} />
      <Shared me={me.data} />
    </div>
  )
}

function MyServers({ me }: { me: Me }) {
  const words = useWords()
  const [query, turn] = useAddress()
  const wanted = query.get("q") ?? ""
  const q = useDeferredValue(wanted)
  const status = STATES.find((one) => one === query.get("state"))
  const servers = useServers(me.email, { q, status })
  const all = servers.all ?? []
  const narrowed = wanted !== "" || status !== undefined
  const use = me.usage["running_servers"]
  const clear = () => turn({ q: null, state: null })
  return (
    <section aria-labelledby="servers">
      <div className="heading">
        <div>
          <h1 id="servers">{words.home.title}</h1>
          {(all.length > 0 || narrowed) && use && (
            <p className="muted num">{words.home.running(narrowed || servers.hasMore ? use.used : running(all), use.limit)}</p>
          )}
        </div>
        <div className="actions">
          {(all.length >= MANY || narrowed) && (
            <label className="field">
              <span className="only-heard">{words.home.state}</span>
              <select value={status ?? ""} onChange={(event) => turn({ state: event.target.value || null })}>
                <option value="">{words.home.anyState}</option>
                {STATES.map((one) => (
                  <option key={one} value={one}>
                    {words.server.status[one]}
                  </option>
                ))}
              </select>
            </label>
          )}
          {(all.length >= MANY || narrowed) && (
            <SearchField className="search" aria-label={words.home.filter} value={wanted} onChange={(text) => turn({ q: text || null })}>
              <Input placeholder={words.home.filter} maxLength={128} />
            </SearchField>
          )}
          <ButtonLink to="/launch" weight="primary">
            {words.home.create}
          </ButtonLink>
        </div>
      </div>
      {servers.error && !servers.all ? (
        <Trouble error={servers.error} />
      ) : !servers.all ? (
        <Loading />
      ) : all.length > 0 ? (
        <>
          <ServerTable servers={all} />
          <Rest list={servers} narrow={words.home.narrow} />
        </>
      ) : (
        <div className="panel">
          {narrowed ? (
            <Empty action={<Button onPress={clear}>{words.home.clear}</Button>}>
              {status ? words.home.nothingLike : words.home.nothingFound(wanted)}
            </Empty>
          ) : (
            <Empty title={words.home.none}>{words.home.noneMore}</Empty>
          )}
        </div>
      )}
    </section>
  )
}

const STATES = ["running", "starting", "stopping", "stopped"] as const

const running = (servers: Server[]) => servers.filter((one) => one.status !== "stopped").length

function ServerTable({ servers }: { servers: Server[] }) {
  const { columns } = useWords().home
  return (
    <div className="panel">
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">{columns.name}</th>
            <th scope="col">{columns.state}</th>
            <th scope="col">{columns.inside}</th>
            <th scope="col">
              <span className="only-heard">{columns.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {servers.map((server) => (
            <ServerRow key={server._id} server={server} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

const ServerRow = memo(function ServerRow({ server }: { server: Server }) {
  const words = useWords()
  const makeOf = useMakeOf()
  const [, go] = useLocation()
  const page = `/servers/${server._id}`
  return (
    <tr>
      <th scope="row">
        <Link href={page} className="name">
          {nameOf(server)}
        </Link>
        <div className="small muted">{makeOf(server.templateData)}</div>
      </th>
      <td className="state">
        <StatusOf server={server} />
        {server.operation ? (
          <Progress operation={server.operation} />
        ) : (
          <div className="small muted clamp">
            <Because server={server} />
          </div>
        )}
      </td>
      <td className="small muted inside">{insideOf(server, words)}</td>
      <td>
        <ServerActions server={server} onDetails={() => go(page)} />
      </td>
    </tr>
  )
})

function Start({ me }: { me: Me }) {
  const words = useWords()
  const templates = useOffered().data
  const applications = useApplications()
  const plain = (applications.data ?? []).filter((one) => !one.file)
  return (
    <section aria-labelledby="start">
      <div className="heading">
        <div>
          <h2 id="start">{words.home.start}</h2>
          <p className="muted small">{me.can.create_server ? words.home.startMore : words.launch.limit}</p>
        </div>
        <Link href="/templates">{words.home.allTemplates(templates?.total)}</Link>
      </div>
      <div className="cards">
        {templates?.items.slice(0, MOST_CARDS).map((template) => (
          <TemplateCard key={template._id} template={template} me={me} />
        ))}
        {plain.map((application) => (
          <ApplicationCard key={application._id} application={application} me={me} />
        ))}
      </div>
    </section>
  )
}

function TemplateCard({ template, me }: { template: Template; me: Me }) {
  const words = useWords()
  const makeOf = useMakeOf()
  const whyNot = useWhyNot()
  const { inside } = words.server
  const parts = [
    template.datasets?.length && inside.datasets(template.datasets.length),
    template.modules?.length && inside.modules(template.modules.length),
    template.secrets?.length && inside.secrets(template.secrets.length),
  ].filter(Boolean)
  return (
    <Card
      title={template.name}
      about={template.creator === me.email ? words.launch.yours : words.launch.creator(template.creator)}
      sign={template.applicationType}
      lines={[template.description, makeOf(template), parts.join(" · ")]}
      unavailable={whyNot(template)}
      what={(key) => ({ template: template._id, key })}
      adjust={`/launch?template=${template._id}`}
      me={me}
    />
  )
}

function ApplicationCard({ application, me }: { application: Application; me: Me }) {
  const words = useWords()
  const hardware = useHardware().data?.find((one) => one.default)
  const made = {
    name: application.title,
    description: "",
    type: "user",
    applicationType: application._id,
    hardware: hardware?._id ?? "",
    public: false,
  }
  const figures = hardware && words.hardware(hardware.cpu, gigabytes(hardware.memory, words.locale), hardware.gpu)
  return (
    <Card
      title={application.title}
      about={figures ?? ""}
      sign={application.icon}
      lines={[words.launch.quick]}
      unavailable={application.unavailable ?? hardware?.unavailable}
      what={(key) => ({ made, key, owner: me.email })}
      adjust={`/launch?application=${application._id}`}
      me={me}
    />
  )
}

function Card({
  title,
  about,
  sign,
  lines,
  unavailable,
  what,
  adjust,
  me,
}: {
  title: string
  about: string
  sign: string
  lines: (string | undefined)[]
  /** Why nothing is started with it, if nothing is. */
  unavailable: string | undefined
  what: (key: string) => Parameters<ReturnType<typeof useLaunch>["mutate"]>[0]
  adjust: string
  me: Me
}) {
  const words = useWords()
  const [, go] = useLocation()
  const launch = useLaunch()
  // Of this card as it is shown: a second click is the same click.
  const [key, setKey] = useState(onceKey)
  const start = () =>
    launch.mutate(what(key), {
      onSuccess: (server) => go(`/servers/${server._id}?open=1`),
      onError: (error) => {
        setKey(onceKey())
        complain(words.trouble.request, error)
      },
    })
  return (
    <article className="panel card">
      <header>
        <span className="sign" aria-hidden="true">
          {sign.slice(0, 2)}
        </span>
        <div>
          <h3>{title}</h3>
          <div className="small muted">{about}</div>
        </div>
      </header>
      {lines.filter(Boolean).map((line) => (
        <p key={line} className="small muted">
          {line}
        </p>
      ))}
      {unavailable && (
        <p className="small busy">
          <b>{words.launch.unavailable}:</b> {unavailable}
        </p>
      )}
      <div className="actions">
        <Button
          weight="primary"
          onPress={start}
          isDisabled={launch.isPending || !me.can.create_server || unavailable !== undefined}
          aria-label={`${words.launch.start} ${title}`}
        >
          {words.launch.start}
        </Button>
        <Link href={adjust} className="button quiet" aria-label={`${words.launch.adjust} ${title}`}>
          {words.launch.adjust}
        </Link>
      </div>
    </article>
  )
}

function Shared({ me }: { me: Me }) {
  const words = useWords()
  const datasets = useDatasets()
  const shared = (datasets.data?.items ?? []).filter((one) => one.owner !== me.email)
  return (
    <section aria-labelledby="shared">
      <div className="heading">
        <div>
          <h2 id="shared">{words.home.shared}</h2>
          <p className="muted small">{words.home.sharedMore}</p>
        </div>
      </div>
      <div className="panel">
        {datasets.error && !datasets.data ? (
          <Trouble error={datasets.error} />
        ) : shared.length === 0 ? (
          <Empty action={datasets.data?.next && <Link href="/datasets">{words.home.allDatasets}</Link>}>
            {!datasets.data
              ? words.common.loading
              : datasets.data.next
                ? words.home.noneSharedOf(datasets.data.items.length)
                : words.home.noneShared}
          </Empty>
        ) : (
          <ul className="lines">
            {shared.slice(0, MOST_SHARED).map((one) => (
              <li key={one._id}>
                <span className="name">{one.name}</span>
                <span className="small muted">{words.common.by(one.owner)}</span>
                <span className="small muted end">{one.write_access ? words.access.write : words.access.read}</span>
              </li>
            ))}
            {(shared.length > MOST_SHARED || datasets.data?.next) && (
              <li>
                <span className="small muted">
                  {shared.length > MOST_SHARED && words.home.moreShared(shared.length - MOST_SHARED)}
                </span>
                <Link className="end" href="/datasets">
                  {words.home.allDatasets}
                </Link>
              </li>
            )}
          </ul>
        )}
      </div>
    </section>
  )
}

export function Loading() {
  return (
    <div className="panel" aria-busy="true">
      <p className="empty muted late">{useWords().common.loading}</p>
    </div>
  )
}

export function Trouble({ error }: { error: Error }) {
  const words = useWords()
  return (
    <Notice mood="bad" title={words.trouble.request}>
      {error.message}
    </Notice>
  )
}
