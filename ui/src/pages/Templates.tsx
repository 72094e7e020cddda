import { Link } from "wouter"

import { type Template, templates } from "../api/kinds"
import { useApplications, useHardware, useMe } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Cards, Check, Line } from "../kit/Form"
import { say } from "../kit/toasts"
import { Contents, type Inside, insideOf, suggested } from "./Contents"
import type { Form } from "./records/Editor"
import { Records } from "./records/Records"
import { useMakeOf } from "./servers"

const en = {
  title: "Templates",
  more: "What a server is made of, to start it again and again, or for others to start.",
  create: "New template",
  edit: (name: string) => `Template ${name}`,
  none: "There is no template yet",
  noneMore: "A template says which application, hardware, data, modules and secrets a server has. Make one to start the same again, or for your group to use.",
  type: "Where it stands",
  types: { user: "With the others", "quick-launch": "Quick launch", featured: "Featured" },
  typesMore: { user: "In the list.", "quick-launch": "On the first page.", featured: "First on the first page." },
  public: "Everybody may use it",
  publicMore: "What in it is not theirs is left out of their servers.",
  tags: "Tags",
  tagsMore: "Words to find it by, with commas between them.",
  link: "Copy link",
  copied: "The link is copied: it starts this template.",
  notCopied: "It could not be copied: this is the link.",
  private: "only you",
  shared: "everybody",
  use: "Use",
}

const de: typeof en = {
  title: "Vorlagen",
  more: "Woraus ein Server gemacht ist, um ihn immer wieder zu starten, oder damit andere ihn starten.",
  create: "Neue Vorlage",
  edit: (name) => `Vorlage ${name}`,
  none: "Es gibt noch keine Vorlage",
  noneMore: "Eine Vorlage sagt, welche Anwendung, Hardware, Daten, Module und Geheimnisse ein Server hat. Legen Sie eine an, um dasselbe wieder zu starten oder damit Ihre Gruppe sie benutzt.",
  type: "Wo sie steht",
  types: { user: "Bei den anderen", "quick-launch": "Schnellstart", featured: "Hervorgehoben" },
  typesMore: { user: "In der Liste.", "quick-launch": "Auf der ersten Seite.", featured: "Zuerst auf der ersten Seite." },
  public: "Alle dürfen sie benutzen",
  publicMore: "Was darin ihnen nicht gehört, wird in ihren Servern weggelassen.",
  tags: "Schlagworte",
  tagsMore: "Worte, unter denen man sie findet, mit Kommas dazwischen.",
  link: "Link kopieren",
  copied: "Der Link ist kopiert: Er startet diese Vorlage.",
  notCopied: "Er ließ sich nicht kopieren: Das ist der Link.",
  private: "nur Sie",
  shared: "alle",
  use: "Benutzen",
}

const TYPES = ["user", "quick-launch", "featured"] as const

interface Draft extends Inside {
  name: string
  description: string
  type: string
  public: boolean
  tags: string
}

/** What one can start: one's own templates, and everybody's. */
export default function Templates() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const makeOf = useMakeOf()
  const me = useMe().data
  const applications = useApplications().data ?? []
  const hardware = useHardware().data ?? []
  const form: Form<Template, Draft, Parameters<typeof templates.make>[0]> = {
    empty: { name: "", description: "", type: "user", public: false, tags: "", ...suggested(applications, hardware) },
    of: (one) => ({
      ...insideOf(one),
      name: one.name,
      description: one.description,
      type: one.type,
      public: one.public,
      tags: one.tags.join(", "),
    }),
    body: ({ tags, filePath, ...draft }) => ({
      ...draft,
      name: draft.name.trim(),
      filePath: (applications.find((one) => one._id === draft.applicationType)?.file && filePath) || null,
      tags: tags.split(",").map((tag) => tag.trim()).filter(Boolean),
    }),
    whole: ({ name, applicationType, filePath }) =>
      name.trim() !== "" && (!applications.find((one) => one._id === applicationType)?.file || filePath !== ""),
    fields: ({ draft, set, record }) => (
      <>
        <Line path="name" label={words.common.name} value={draft.name} onChange={(name) => set({ name })} isRequired autoFocus maxLength={128} />
        <Line
          path="description"
          label={words.common.description}
          value={draft.description}
          onChange={(description) => set({ description })}
          lines={2}
          maxLength={8192}
        />
        <Contents draft={draft} set={set} />
        <Line path="tags" label={sayings.tags} more={sayings.tagsMore} value={draft.tags} onChange={(tags) => set({ tags })} />
        {!record && (
          <Cards
            path="type"
            label={sayings.type}
            value={draft.type}
            options={TYPES.filter((value) => value !== "featured" || me?.can.feature_template).map((value) => ({
              value,
              title: sayings.types[value],
              more: sayings.typesMore[value],
            }))}
            onChange={(type) => set({ type })}
          />
        )}
        {me?.can.publish_template && (
          <Check label={sayings.public} more={sayings.publicMore} value={draft.public} onChange={(now) => set({ public: now })} />
        )}
      </>
    ),
  }
  const own = (one: Template) => me !== undefined && (one.creator === me.email || me.admin)
  const copy = (one: Template) => {
    const link = `${location.origin}/ui/launch?template=${one._id}`
    navigator.clipboard
      .writeText(link)
      .then(() => say(sayings.copied))
      .catch(() => say(`${sayings.notCopied} ${link}`))
  }
  if (!applications.length || !hardware.length) return <p className="muted late">{words.common.loading}</p>
  return (
    <Records
      kind={templates}
      sayings={sayings}
      form={form}
      may={me?.can.create_template}
      changes={own}
      deletes={own}
      about={(one) =>
        [one.creator !== me?.email && words.common.by(one.creator), makeOf(one), one.description.split("\n")[0]].filter(Boolean).join(" · ")
      }
      side={(one) => (
        <>
          {one.tags.slice(0, 4).map((tag) => (
            <span key={tag} className="tag">
              {tag}
            </span>
          ))}
          <span className="small muted">{one.public ? sayings.shared : sayings.private}</span>
        </>
      )}
      actions={(one) => (
        <>
          {one.public && (
            <Button weight="quiet" onPress={() => copy(one)} aria-label={`${sayings.link}: ${one.name}`}>
              {sayings.link}
            </Button>
          )}
          <Link className="button" href={`/launch?template=${one._id}`} aria-label={`${sayings.use} ${one.name}`}>
            {sayings.use}
          </Link>
        </>
      )}
    />
  )
}
