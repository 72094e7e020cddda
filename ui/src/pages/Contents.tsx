/** What a server is made of: the same fields for a start and for a template. */
import { useQuery } from "@tanstack/react-query"

import type { Application, Hardware } from "../api/client"
import { type Kind, type Template, datasets, modules, secrets } from "../api/kinds"
import { useApplications, useHardware, useMe } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Cards, Line } from "../kit/Form"
import { Notice } from "../kit/Notice"
import { type Choice, Picker } from "../kit/Picker"
import { gigabytes } from "./servers"

const en = {
  application: "Application",
  opens: "opens a file of yours",
  hardware: "Hardware",
  file: "What it opens",
  datasets: "Datasets",
  modules: "Modules, in the order in which they are loaded",
  secrets: "Secrets",
  none: {
    datasets: "There is no dataset that you may use.",
    modules: "There is no module that you may use.",
    secrets: "There is no secret that you may use.",
  },
  gone: "one that you may not use: it is left out",
  many: "There are more than these 1,000.",
}

const de: typeof en = {
  application: "Anwendung",
  opens: "öffnet eine Datei von Ihnen",
  hardware: "Hardware",
  file: "Was sie öffnet",
  datasets: "Datensätze",
  modules: "Module, in der Reihenfolge, in der sie geladen werden",
  secrets: "Geheimnisse",
  none: {
    datasets: "Es gibt keinen Datensatz, den Sie benutzen dürfen.",
    modules: "Es gibt kein Modul, das Sie benutzen dürfen.",
    secrets: "Es gibt kein Geheimnis, das Sie benutzen dürfen.",
  },
  gone: "etwas, das Sie nicht benutzen dürfen: Es wird weggelassen",
  many: "Es gibt mehr als diese 1.000.",
}

export interface Inside {
  applicationType: string
  hardware: string
  filePath: string
  datasets: string[]
  modules: string[]
  secrets: string[]
}

export const insideOf = (template: Template): Inside => ({
  applicationType: template.applicationType,
  hardware: template.hardware,
  filePath: template.filePath ?? "",
  datasets: template.datasets,
  modules: template.modules,
  secrets: template.secrets,
})

/** What is suggested where nothing was chosen. */
export function suggested(applications: readonly Application[], hardware: readonly Hardware[]): Inside {
  const first = <T extends { _id: string; default: boolean }>(all: readonly T[]) => (all.find((one) => one.default) ?? all[0])?._id ?? ""
  return { applicationType: first(applications), hardware: first(hardware), filePath: "", datasets: [], modules: [], secrets: [] }
}

const MOST = 1000

function useAll<T extends { _id: string }, B>(kind: Kind<T, B>) {
  return useQuery({ queryKey: [kind.name, "all"], queryFn: () => kind.list({ limit: MOST }), staleTime: 30_000 })
}

/** What one may put into a server. */
export function useChoices() {
  const words = useWords()
  const me = useMe().data?.email
  const by = (owner: string) => (owner === me ? words.launch.yours : words.common.by(owner))
  const all = { datasets: useAll(datasets), modules: useAll(modules), secrets: useAll(secrets) }
  const choices: Record<"datasets" | "modules" | "secrets", Choice[] | undefined> = {
    datasets: all.datasets.data?.items.map((one) => ({
      id: one._id,
      title: one.name,
      more: [by(one.owner), words.access[one.write_access ? "write" : "read"]].join(" · "),
    })),
    modules: all.modules.data?.items.map((one) => ({
      id: one._id,
      title: modules.nameOf(one),
      more: [by(one.owner), one.description?.split("\n")[0]].filter(Boolean).join(" · "),
    })),
    secrets: all.secrets.data?.items.map((one) => ({
      id: one._id,
      title: one.secretName,
      more: [by(one.owner), one.type === "env_var" ? "" : one.mount_path].filter(Boolean).join(" · "),
    })),
  }
  const answers = Object.values(all)
  return { choices, more: answers.some((one) => one.data?.next), error: answers.find((one) => one.error)?.error }
}

export function Contents({ draft, set }: { draft: Inside; set: (part: Partial<Inside>) => void }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const applications = useApplications().data ?? []
  const hardware = useHardware().data ?? []
  const { choices, more, error } = useChoices()
  const rule = applications.find((one) => one._id === draft.applicationType)?.file
  return (
    <>
      <Cards
        path="applicationType"
        label={sayings.application}
        value={draft.applicationType}
        options={applications.map((one) => ({ value: one._id, title: one.title, more: one.file && sayings.opens, not: one.unavailable }))}
        onChange={(applicationType) => set({ applicationType })}
      />
      {rule && (
        <Line
          path="filePath"
          label={sayings.file}
          more={rule.description}
          value={draft.filePath}
          onChange={(filePath) => set({ filePath })}
          mono
          isRequired
          maxLength={1024}
        />
      )}
      <Cards
        path="hardware"
        label={sayings.hardware}
        value={draft.hardware}
        options={hardware.map((one) => ({
          value: one._id,
          // The figures that some write into a title are beneath it.
          title: one.title.replace(/\s*\([^)]*CPU[^)]*\)$/, ""),
          more: words.hardware(one.cpu, gigabytes(one.memory, words.locale), one.gpu),
          not: one.unavailable,
        }))}
        onChange={(value) => set({ hardware: value })}
      />
      {error && <Notice title={words.trouble.request}>{error.message}</Notice>}
      {(["datasets", "modules", "secrets"] as const).map((kind) => (
        <Picker
          key={kind}
          path={kind}
          label={sayings[kind]}
          none={sayings.none[kind]}
          choices={choices[kind]}
          chosen={draft[kind]}
          onChange={(chosen) => set({ [kind]: chosen })}
          ordered={kind === "modules"}
          gone={sayings.gone}
        />
      ))}
      {more && <p className="small muted">{sayings.many}</p>}
    </>
  )
}
