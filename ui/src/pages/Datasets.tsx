import { Link } from "wouter"

import { type Dataset, datasets } from "../api/kinds"
import { useMe } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Line } from "../kit/Form"
import type { Form } from "./records/Editor"
import { Records } from "./records/Records"

const en = {
  title: "Datasets",
  more: "Directories that servers have in them. Each is at the same place in every server.",
  create: "New dataset",
  edit: (name: string) => `Dataset ${name}`,
  none: "There is no dataset yet",
  noneMore: "A dataset is a directory for data that several servers or people use. Make one, then name it in a template or share it.",
  nameMore: "Servers have it at /opt/datasets/ under this name.",
  renamed: "Servers have it under the new name from their next start on.",
  files: "Files",
}

const de: typeof en = {
  title: "Datensätze",
  more: "Verzeichnisse, die Server in sich haben. Jedes liegt in jedem Server am selben Ort.",
  create: "Neuer Datensatz",
  edit: (name) => `Datensatz ${name}`,
  none: "Es gibt noch keinen Datensatz",
  noneMore:
    "Ein Datensatz ist ein Verzeichnis für Daten, die mehrere Server oder Menschen benutzen. Legen Sie einen an; nennen Sie ihn dann in einer Vorlage, oder teilen Sie ihn.",
  nameMore: "Server haben ihn unter diesem Namen in /opt/datasets/.",
  renamed: "Server haben ihn ab ihrem nächsten Start unter dem neuen Namen.",
  files: "Dateien",
}

interface Draft {
  name: string
  description: string
}

/** One's datasets, those that others share with one, and what is in the trash. */
export default function Datasets() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const me = useMe().data
  const form: Form<Dataset, Draft, { name: string; description: string | null }> = {
    empty: { name: "", description: "" },
    of: ({ name, description = "" }) => ({ name, description }),
    body: ({ name, description }) => ({ name: name.trim(), description: description || null }),
    whole: ({ name }) => name.trim() !== "",
    fields: ({ draft, set, record }) => (
      <>
        <Line
          path="name"
          label={words.common.name}
          more={record ? sayings.renamed : sayings.nameMore}
          value={draft.name}
          onChange={(name) => set({ name })}
          isRequired
          autoFocus
          maxLength={64}
        />
        <Line
          path="description"
          label={words.common.description}
          value={draft.description}
          onChange={(description) => set({ description })}
          lines={3}
          maxLength={8192}
        />
      </>
    ),
  }
  const own = (one: Dataset) => me !== undefined && (one.owner === me.email || me.admin)
  return (
    <Records
      kind={datasets}
      sayings={sayings}
      form={form}
      may={me?.can.create_dataset}
      changes={(one) => one.write_access}
      deletes={own}
      about={(one) =>
        [one.owner !== me?.email && words.common.by(one.owner), one.description].filter(Boolean).join(" · ")
      }
      side={(one) => (
        <>
          <code className="small muted">/opt/datasets/{one.name}</code>
          <span className="small muted">
            {words.access[one.owner === me?.email ? "owner" : one.write_access ? "write" : "read"]}
          </span>
        </>
      )}
      shared={(one) => (own(one) ? { kind: "datasets", id: one._id, name: one.name } : undefined)}
      actions={(one) => (
        <Link className="button quiet" href={`/files/datasets/${one._id}`} aria-label={`${sayings.files}: ${one.name}`}>
          {sayings.files}
        </Link>
      )}
    />
  )
}
