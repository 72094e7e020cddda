/** What forms are made of. Whatever is typed stays where it is until it was taken or given up. */
import { type ComponentProps, type ReactNode, createContext, useContext, useEffect, useId, useState } from "react"
import { FieldError } from "react-aria-components/FieldError"
import { Input } from "react-aria-components/Input"
import { Label } from "react-aria-components/Label"
import { Text } from "react-aria-components/Text"
import { TextArea } from "react-aria-components/TextArea"
import { TextField } from "react-aria-components/TextField"

import { Refused } from "../api/errors"

const KEPT = "nbhub-draft:"

/** What is typed into a form. It is kept for this tab, also over a reload, but for what is named in `unkept`. */
export function useDraft<D extends object>(name: string, begun: D, unkept: readonly (keyof D)[] = []) {
  const key = KEPT + name
  const [draft, setDraft] = useState<D>(() => ({ ...begun, ...(JSON.parse(sessionStorage.getItem(key) ?? "{}") as Partial<D>) }))
  const loses = unkept.some((field) => draft[field] !== begun[field])
  useEffect(() => {
    if (!loses) return
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener("beforeunload", ask)
    return () => removeEventListener("beforeunload", ask)
  }, [loses])
  const set = (part: Partial<D>) =>
    setDraft((before) => {
      const now = { ...before, ...part }
      const kept = Object.fromEntries(Object.entries(now).filter(([field]) => !unkept.includes(field as keyof D)))
      sessionStorage.setItem(key, JSON.stringify(kept))
      return now
    })
  /** Forget what was typed, and begin with something else. */
  const reset = (other: D = begun) => {
    sessionStorage.removeItem(key)
    setDraft(other)
  }
  return { draft, set, reset }
}

type Detail = Refused["details"][number]
const Problems = createContext<readonly Detail[]>([])

/**
 * What stands of a refusal: what it says of a field that was changed since is not shown any more, since it may be right
 * now; nor is the refusal, where it said nothing else.
 */
export function standing(error: Error | null, sent: unknown, now: unknown): { error: Error | null; details: readonly Detail[] } {
  if (!(error instanceof Refused) || error.details.length === 0) return { error, details: [] }
  const details = error.details.filter(({ path }) => {
    const field = fieldOf(path)
    return JSON.stringify(valueAt(sent, field)) === JSON.stringify(valueAt(now, field))
  })
  return { error: details.length > 0 ? error : null, details }
}

/** The way to the field that is meant, or of a list of them to the one. */
function fieldOf(path: string): string[] {
  const [field = "", number = ""] = path.split("/").slice(1)
  return /^\d+$/.test(number) ? [field, number] : [field]
}

const valueAt = (body: unknown, way: string[]): unknown =>
  way.reduce((inside: unknown, name) => (inside as Record<string, unknown> | undefined)?.[name], body)

/** The fields in it show what an answer said of them. */
export function Refusing({ details, children }: { details: readonly Detail[]; children: ReactNode }) {
  return <Problems value={details}>{children}</Problems>
}

/** What was said of a field, or of something in it. */
export function useProblem(path: string): string | undefined {
  const about = useContext(Problems).filter((one) => one.path === `/${path}` || one.path.startsWith(`/${path}/`))
  return about.map((one) => one.message).join("; ") || undefined
}

/** A line of text, or several. `path` is the field's name in the request. */
export function Line({
  path,
  label,
  more,
  value,
  onChange,
  lines = 1,
  mono = false,
  input,
  ...props
}: {
  path: string
  label: string
  more?: ReactNode
  value: string
  onChange: (value: string) => void
  lines?: number
  mono?: boolean
  input?: ComponentProps<"input">
} & Pick<ComponentProps<typeof TextField>, "isRequired" | "autoFocus" | "maxLength" | "isReadOnly" | "type" | "isDisabled">) {
  const problem = useProblem(path)
  return (
    <TextField className={mono ? "field mono" : "field"} value={value} onChange={onChange} isInvalid={problem !== undefined} {...props}>
      <Label>{label}</Label>
      {lines > 1 ? (
        <TextArea rows={lines} autoComplete="off" spellCheck={!mono} />
      ) : (
        <Input autoComplete="off" spellCheck={!mono} {...(input as object)} />
      )}
      {more && (
        <Text slot="description" className="small muted">
          {more}
        </Text>
      )}
      <FieldError className="small bad">{problem}</FieldError>
    </TextField>
  )
}

/** One of a few, each with a line about it. */
export function Cards<V extends string>({
  path,
  label,
  value,
  options,
  onChange,
}: {
  path: string
  label: string
  value: V
  /** `not`: why it cannot be had. It can be chosen all the same, since that may change. */
  options: readonly { value: V; title: string; more?: ReactNode; not?: string | undefined }[]
  onChange: (value: V) => void
}) {
  const problem = useProblem(path)
  const name = useId()
  return (
    <fieldset className="choice">
      <legend>{label}</legend>
      <div className="options">
        {options.map((one) => (
          <label key={one.value} className="option">
            <input type="radio" name={name} value={one.value} checked={one.value === value} onChange={() => onChange(one.value)} />
            <span>
              <b>{one.title}</b>
              {one.more && <span className="small muted">{one.more}</span>}
              {one.not && <span className="small busy">{one.not}</span>}
            </span>
          </label>
        ))}
      </div>
      {problem && <p className="small bad">{problem}</p>}
    </fieldset>
  )
}

/** Yes or no. */
export function Check({ label, more, value, onChange }: { label: string; more?: string; value: boolean; onChange: (value: boolean) => void }) {
  return (
    <label className="check">
      <input type="checkbox" checked={value} onChange={(event) => onChange(event.target.checked)} />
      <span>
        {label}
        {more && <span className="small muted">{more}</span>}
      </span>
    </label>
  )
}
