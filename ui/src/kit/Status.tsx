export type Mood = "good" | "busy" | "bad" | "off"

/** A state: a shape and a word beside its colour. */
export function Status({ mood, children }: { mood: Mood; children: string }) {
  return (
    <span className={`status ${mood}`}>
      <i aria-hidden="true" />
      {children}
    </span>
  )
}
