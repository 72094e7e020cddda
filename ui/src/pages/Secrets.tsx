import { type Secret, secrets } from "../api/kinds"
import { useMe, useUsedSecrets } from "../api/queries"
import { useSpoken, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Cards, Line } from "../kit/Form"
import { Status } from "../kit/Status"
import { complain } from "../kit/toasts"
import type { Form } from "./records/Editor"
import { Records } from "./records/Records"

const count = (many: number, one: string, more: string) => `${many} ${many === 1 ? one : more}`

const en = {
  title: "Secrets",
  more: "Passwords, tokens and keys that servers have. A value is kept in Vault; nobody sees it here again.",
  create: "New secret",
  edit: (name: string) => `Secret ${name}`,
  none: "There is no secret yet",
  noneMore: "A secret is a password, a token or a key that your servers need. Make one, then choose it when you start a server.",
  types: { env_var: "Variable", raw: "File", file: "Files in a directory" },
  typesMore: {
    env_var: "Programs read it as a variable of the environment.",
    raw: "One file, at a place that you choose.",
    file: "A directory with a file for each key.",
  },
  type: "How servers have it",
  names: { env_var: "Name of the variable", raw: "Name", file: "Name of the file" },
  namesMore: { env_var: "Such as S3_TOKEN: letters, digits and _.", raw: "What you call it.", file: "The value is in this file of the directory." },
  value: "Value",
  valueMore: "It goes to Vault, and is never shown again. Servers have it from their next start on.",
  replace: "Leave it empty to keep the value that is there.",
  made: "Make one",
  file: "Take it from a file",
  large: "A value has at most 256 KiB.",
  path: "Where servers see it",
  pathMore: "Empty: a place of its own under /opt/secret.",
  version: (many: number) => `version ${many}`,
  missing: "no value yet",
  used: (many: number) => `in ${count(many, "template", "templates")} of yours`,
  unused: "in no template of yours",
}

const de: typeof en = {
  title: "Geheimnisse",
  more: "Passwörter, Token und Schlüssel, die Server haben. Ein Wert liegt in Vault; hier sieht ihn niemand wieder.",
  create: "Neues Geheimnis",
  edit: (name) => `Geheimnis ${name}`,
  none: "Es gibt noch kein Geheimnis",
  noneMore: "Ein Geheimnis ist ein Passwort, ein Token oder ein Schlüssel, den Ihre Server brauchen. Legen Sie eines an, und wählen Sie es beim Start eines Servers.",
  types: { env_var: "Variable", raw: "Datei", file: "Dateien in einem Verzeichnis" },
  typesMore: {
    env_var: "Programme lesen es als Umgebungsvariable.",
    raw: "Eine Datei, an einem Ort Ihrer Wahl.",
    file: "Ein Verzeichnis mit einer Datei je Schlüssel.",
  },
  type: "Wie Server es haben",
  names: { env_var: "Name der Variable", raw: "Name", file: "Name der Datei" },
  namesMore: { env_var: "Etwa S3_TOKEN: Buchstaben, Ziffern und _.", raw: "Wie Sie es nennen.", file: "Der Wert steht in dieser Datei des Verzeichnisses." },
  value: "Wert",
  valueMore: "Er geht an Vault und wird nie wieder gezeigt. Server haben ihn ab ihrem nächsten Start.",
  replace: "Leer lassen, um den jetzigen Wert zu behalten.",
  made: "Einen erzeugen",
  file: "Aus einer Datei nehmen",
  large: "Ein Wert hat höchstens 256 KiB.",
  path: "Wo Server es sehen",
  pathMore: "Leer: ein eigener Ort unter /opt/secret.",
  version: (many) => `Version ${many}`,
  missing: "noch kein Wert",
  used: (many) => `in ${count(many, "Ihrer Vorlagen", "Ihrer Vorlagen")}`,
  unused: "in keiner Ihrer Vorlagen",
}

const MOST_BYTES = 262_144
const TYPES = ["env_var", "raw", "file"] as const

interface Draft {
  secretName: string
  type: Secret["type"]
  value: string
  mount_path: string
  description: string
}

/** One's secrets and those that others share. Their values are written, and never read. */
export default function Secrets() {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const me = useMe().data
  const used = useUsedSecrets(me?.email).data
  const form: Form<Secret, Draft, Parameters<typeof secrets.make>[0]> = {
    empty: { secretName: "", type: "env_var", value: "", mount_path: "", description: "" },
    unkept: ["value"],
    of: ({ secretName, type, mount_path, description = "" }) => ({ secretName, type, value: "", mount_path, description }),
    body: ({ secretName, type, value, mount_path, description }) => ({
      secretName: secretName.trim(),
      type,
      description: description || null,
      ...(value && { value }),
      ...(type !== "env_var" && mount_path && { mount_path }),
    }),
    whole: ({ secretName, value }, record) => secretName.trim() !== "" && (record !== undefined || value !== ""),
    fields: ({ draft, set, record }) => (
      <>
        {!record && (
          <Cards
            path="type"
            label={sayings.type}
            value={draft.type}
            options={TYPES.map((value) => ({ value, title: sayings.types[value], more: sayings.typesMore[value] }))}
            onChange={(type) => set({ type })}
          />
        )}
        <Line
          path="secretName"
          label={sayings.names[draft.type]}
          more={sayings.namesMore[draft.type]}
          value={draft.secretName}
          onChange={(secretName) => set({ secretName })}
          mono={draft.type === "env_var"}
          isRequired
          autoFocus
          maxLength={128}
        />
        <Value value={draft.value} onChange={(value) => set({ value })} replaces={record?.version !== undefined} />
        {draft.type !== "env_var" && (
          <Line
            path="mount_path"
            label={sayings.path}
            more={sayings.pathMore}
            value={draft.mount_path}
            onChange={(mount_path) => set({ mount_path })}
            mono
            maxLength={512}
          />
        )}
        <Line
          path="description"
          label={words.common.description}
          value={draft.description}
          onChange={(description) => set({ description })}
          lines={2}
          maxLength={8192}
        />
      </>
    ),
  }
  const own = (one: Secret) => me !== undefined && (one.owner === me.email || me.admin)
  const usedBy = (one: Secret) => {
    const times = used?.used.filter((id) => id === one._id).length
    // Of as many templates as were looked at: that there is none is said of all.
    return times === undefined || (times === 0 && used?.more) ? undefined : times
  }
  return (
    <Records
      kind={secrets}
      sayings={sayings}
      form={form}
      may={me?.can.create_secret}
      changes={(one) => one.write_access}
      deletes={own}
      about={(one) => {
        const used = usedBy(one)
        return [
          one.owner !== me?.email && words.common.by(one.owner),
          used === undefined ? "" : used ? sayings.used(used) : sayings.unused,
          one.description,
        ]
          .filter(Boolean)
          .join(" · ")
      }}
      side={(one) => (
        <>
          {one.type === "env_var" ? (
            <span className="small muted">{sayings.types.env_var}</span>
          ) : (
            <code className="small muted">{one.mount_path}</code>
          )}
          <span className="small num">
            {one.version === undefined ? (
              <Status mood="busy">{sayings.missing}</Status>
            ) : (
              <span className="muted">{sayings.version(one.version)}</span>
            )}
          </span>
        </>
      )}
      shared={(one) => (own(one) ? { kind: "secret", id: one._id, name: one.secretName } : undefined)}
    />
  )
}

/** A value that is written: pasted, taken from a file, or made. What is typed is not shown to who looks over a shoulder. */
function Value({ value, onChange, replaces }: { value: string; onChange: (value: string) => void; replaces: boolean }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  const take = (file: File | undefined) => {
    if (!file) return
    if (file.size > MOST_BYTES) complain(words.trouble.request, sayings.large)
    else void file.text().then(onChange)
  }
  return (
    <div className="field hidden-value">
      <Line
        path="value"
        label={sayings.value}
        more={replaces ? sayings.replace : sayings.valueMore}
        value={value}
        onChange={onChange}
        lines={3}
        mono
      />
      <div className="actions">
        <Button weight="quiet" onPress={() => onChange(madeValue())}>
          {sayings.made}
        </Button>
        <label className="button quiet">
          {sayings.file}
          <input
            type="file"
            className="only-heard"
            onChange={(event) => {
              take(event.target.files?.[0])
              event.target.value = ""
            }}
          />
        </label>
      </div>
    </div>
  )
}

/** 256 bits that nobody guesses. */
function madeValue(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "")
}
