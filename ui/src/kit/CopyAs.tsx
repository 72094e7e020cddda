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

/** What a button does, for a terminal and a program: `ways` are lines by the name of their language. */
export function CopyAs({ ways }: { ways: Record<string, string> }) {
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
