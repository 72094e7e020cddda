import { useState } from "react"
import { Link, useLocation, useSearchParams } from "wouter"
import { Input } from "react-aria-components/Input"
import { SearchField } from "react-aria-components/SearchField"

import { type Application, type Me, type Server, type Template, onceKey } from "../api/client"
import {
  useApplications,
  useDatasets,
  useHardware,
  useLaunch,
  useMe,
  useServers,
  useTemplates,
} from "../api/queries"
import { useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Empty, Notice } from "../kit/Notice"
import { complain } from "../kit/toasts"
import { Because, Progress, ServerActions, StatusOf, gigabytes, insideOf, nameOf, useMakeOf } from "./servers"
import { useTitle } from "./title"

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
  const servers = useServers(me.email)
  const [query, setQuery] = useSearchParams()
  const wanted = query.get("q") ?? ""
  const all = servers.data ?? []
  const found = all.filter((one) => nameOf(one).toLowerCase().includes(wanted.toLowerCase()))
  const use = me.usage["running_servers"]
  return (
    <section aria-labelledby="servers">
      <div className="heading">
        <div>
          <h1 id="servers">{words.home.title}</h1>
          {all.length > 0 && use && <p className="muted num">{words.home.running(running(all), use.limit)}</p>}
        </div>
        {(all.length >= MANY || wanted) && (
          <SearchField
            className="search"
            aria-label={words.home.filter}
            value={wanted}
            onChange={(text) => setQuery(text ? { q: text } : {}, { replace: true })}
          >
            <Input placeholder={words.home.filter} />
          </SearchField>
        )}
      </div>
      {servers.error && !servers.data ? (
        <Trouble error={servers.error} />
      ) : !servers.data ? (
        <Loading />
      ) : all.length === 0 ? (
        <div className="panel">
          <Empty title={words.home.none}>{words.home.noneMore}</Empty>
        </div>
      ) : found.length === 0 ? (
        <div className="panel">
          <Empty action={<Button onPress={() => setQuery({}, { replace: true })}>{words.home.clear}</Button>}>
            {words.home.nothingFound(wanted)}
          </Empty>
        </div>
      ) : (
        <ServerTable servers={found} />
      )}
    </section>
  )
}

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

function ServerRow({ server }: { server: Server }) {
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
}

function Start({ me }: { me: Me }) {
  const words = useWords()
  const templates = useTemplates()
  const applications = useApplications()
  const offered = (templates.data ?? []).filter((one) => one.public || one.type !== "user").sort(byWeight)
  const plain = (applications.data ?? []).filter((one) => !one.file)
  return (
    <section aria-labelledby="start">
      <div className="heading">
        <div>
          <h2 id="start">{words.home.start}</h2>
          <p className="muted small">{me.can.create_server ? words.home.startMore : words.launch.limit}</p>
        </div>
      </div>
      <div className="cards">
        {offered.map((template) => (
          <TemplateCard key={template._id} template={template} me={me} />
        ))}
        {plain.map((application) => (
          <ApplicationCard key={application._id} application={application} me={me} />
        ))}
      </div>
    </section>
  )
}

const WEIGHTS = ["featured", "quick-launch"]

function byWeight(a: Template, b: Template): number {
  const weigh = (one: Template) => (WEIGHTS.includes(one.type) ? WEIGHTS.indexOf(one.type) : WEIGHTS.length)
  return weigh(a) - weigh(b)
}

function TemplateCard({ template, me }: { template: Template; me: Me }) {
  const words = useWords()
  const makeOf = useMakeOf()
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
      what={(key) => ({ template: template._id, key })}
      me={me}
    />
  )
}

function ApplicationCard({ application, me }: { application: Application; me: Me }) {
  const words = useWords()
  const hardware = useHardware().data?.find((one) => one.default)
  const servers = useServers(me.email).data ?? []
  const made = {
    name: freeName(application.title, servers.map(nameOf)),
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
      what={(key) => ({ made, key })}
      me={me}
    />
  )
}

/** A name that none of these is yet. */
function freeName(name: string, taken: string[]): string {
  for (let number = 1; ; number++) {
    const tried = number === 1 ? name : `${name} ${number}`
    if (!taken.includes(tried)) return tried
  }
}

function Card({
  title,
  about,
  sign,
  lines,
  what,
  me,
}: {
  title: string
  about: string
  sign: string
  lines: (string | undefined)[]
  what: (key: string) => Parameters<ReturnType<typeof useLaunch>["mutate"]>[0]
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
      <div className="actions">
        <Button
          weight="primary"
          onPress={start}
          isDisabled={launch.isPending || !me.can.create_server}
          aria-label={`${words.launch.start} ${title}`}
        >
          {words.launch.start}
        </Button>
      </div>
    </article>
  )
}

function Shared({ me }: { me: Me }) {
  const words = useWords()
  const datasets = useDatasets()
  const shared = (datasets.data ?? []).filter((one) => one.owner !== me.email)
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
          <Empty>{datasets.data ? words.home.noneShared : words.common.loading}</Empty>
        ) : (
          <ul className="lines">
            {shared.map((one) => (
              <li key={one._id}>
                <span className="name">{one.name}</span>
                <span className="small muted">{words.common.by(one.owner)}</span>
                <span className="small muted end">{one.write_access ? words.access.write : words.access.read}</span>
              </li>
            ))}
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
