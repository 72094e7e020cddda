import { useSpoken, useWords } from "../i18n"
import { Button } from "./Button"
import { complain, say } from "./toasts"

const en = {
  title: "The same by a command",
  more: "With NBHUB_TOKEN, or after nbhub login.",
  copy: "Copy",
  copied: "Copied",
}

const de: typeof en = {
  title: "Dasselbe mit einem Befehl",
  more: "Mit NBHUB_TOKEN, oder nach nbhub login.",
  copy: "Kopieren",
  copied: "Kopiert",
}

/** Lines for a terminal and a program, by the name of their language. */
export type Ways = Record<"nbhub" | "curl" | "Python", string>

/** A text as a shell takes it. */
export const quoted = (text: string) => (/^[\w@:,./+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** An action in three ways: as a command of `nbhub`, as what is sent, and as what is asked of a `Hub` of the client. */
export function waysOf(command: string, method: string, path: string, call: string, body?: object): Ways {
  const sent = body ? ` --json ${quoted(JSON.stringify(body))}` : ""
  return {
    nbhub: `nbhub ${command}`,
    curl: `curl -X ${method} -H "Authorization: Bearer $NBHUB_TOKEN"${sent} ${location.origin}${path}`,
    Python: `from nbhub import Hub; Hub("${location.origin}").${call}`,
  }
}

/** What a button does, for a terminal and a program. */
export function CopyAs({ ways }: { ways: Ways }) {
  const sayings = useSpoken({ en, de })
  const words = useWords()
  return (
    <details className="panel ways">
      <summary>{sayings.title}</summary>
      <p className="small muted">{sayings.more}</p>
      {Object.entries(ways).map(([name, line]) => (
        <div key={name} className="way">
          <span className="small muted">{name}</span>
          <pre tabIndex={0}>{line}</pre>
          <Button
            weight="quiet"
            aria-label={`${sayings.copy}: ${name}`}
            onPress={() =>
              navigator.clipboard.writeText(line).then(
                () => say(sayings.copied),
                (error: unknown) => complain(words.trouble.request, error),
              )
            }
          >
            {sayings.copy}
          </Button>
        </div>
      ))}
    </details>
  )
}
