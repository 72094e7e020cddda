import { useSearchParams } from "wouter"

/** What a page's address says of how it is shown, and a way to change that: `null` takes a word of it away.
 *
 * No step of the browser's history is made of it: going back leads to the page before.
 */
export function useAddress(): [URLSearchParams, (changes: Record<string, string | null>) => void] {
  const [query, setQuery] = useSearchParams()
  const turn = (changes: Record<string, string | null>) =>
    setQuery(
      (before) => {
        const next = new URLSearchParams(before)
        for (const [field, value] of Object.entries(changes)) {
          if (value === null) next.delete(field)
          else next.set(field, value)
        }
        return next
      },
      { replace: true },
    )
  return [query, turn]
}
