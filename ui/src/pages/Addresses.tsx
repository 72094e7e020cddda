import { useQuery } from "@tanstack/react-query"
import { type ReactNode, useDeferredValue } from "react"
import { Input } from "react-aria-components/Input"
import { Label } from "react-aria-components/Label"
import { Text } from "react-aria-components/Text"
import { TextField } from "react-aria-components/TextField"

import { api, told } from "../api/client"
import { useWords } from "../i18n"

/** The API finds nobody by fewer letters. */
const FEWEST = 3
const SHOWN = 5

export const wordsOf = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean)

/** Addresses of people, and names where there are some: a whole list may be pasted. What is typed last is completed. */
export function Addresses({
  label,
  more,
  value,
  onChange,
  invalid,
  names = [],
}: {
  label: string
  more: ReactNode
  value: string
  onChange: (value: string) => void
  invalid: boolean
  names?: readonly string[]
}) {
  const words = useWords()
  const last = /[\s,;]$/.test(value) ? "" : (wordsOf(value).at(-1) ?? "")
  const asked = useDeferredValue(last)
  const people = useQuery({
    queryKey: ["people", asked],
    queryFn: () => told(api.GET("/people", { params: { query: { q: asked } } })),
    enabled: asked.length >= FEWEST,
    staleTime: 60_000,
  }).data
  const begins = last.toLowerCase()
  const found = last
    ? [
        ...(people ?? []).map((one) => ({ says: one.name ? `${one.name} · ${one.email}` : one.email, is: one.email })),
        ...names.map((one) => ({ says: one, is: one })),
      ]
        .filter((one) => one.is.toLowerCase() !== begins && (one.is.toLowerCase().startsWith(begins) || one.says.toLowerCase().startsWith(begins)))
        .slice(0, SHOWN)
    : []
  return (
    <div>
      <TextField className="field" value={value} onChange={onChange} autoFocus isInvalid={invalid}>
        <Label>{label}</Label>
        <Input placeholder="bob@example.org, …" autoComplete="off" />
        <Text slot="description" className="small muted">
          {more}
        </Text>
      </TextField>
      {found.length > 0 && (
        <ul className="suggested" aria-label={words.share.suggested}>
          {found.map((one) => (
            <li key={one.is}>
              <button type="button" className="tag" onClick={() => onChange(`${value.slice(0, value.length - last.length)}${one.is}, `)}>
                {one.says}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
