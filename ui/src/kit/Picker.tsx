import { useId, useState } from "react"

import { useWords } from "../i18n"
import { Button } from "./Button"
import { useProblem } from "./Form"

/** From so many on there is a box to filter them. */
const MANY = 7

export interface Choice {
  id: string
  title: string
  more?: string | undefined
}

/** Some of many, in the order in which they were chosen; `ordered` lets one change it. */
export function Picker({
  path,
  label,
  none,
  choices,
  chosen,
  onChange,
  ordered = false,
  gone,
}: {
  path: string
  label: string
  /** What to say where there is nothing to choose. */
  none: string
  choices: readonly Choice[] | undefined
  chosen: readonly string[]
  onChange: (chosen: string[]) => void
  ordered?: boolean
  /** How something is called that was chosen and is not there. */
  gone: string
}) {
  const words = useWords()
  const problem = useProblem(path)
  const heading = useId()
  const [filter, setFilter] = useState("")
  const all = choices ?? []
  const found = all.filter((one) => one.title.toLowerCase().includes(filter.toLowerCase()))
  const titleOf = (id: string) => all.find((one) => one.id === id)?.title ?? gone
  const missing = choices ? chosen.filter((id) => !all.some((one) => one.id === id)) : []
  const toggle = (id: string) => onChange(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id])
  const move = (at: number, by: number) => {
    const next = [...chosen]
    next.splice(at + by, 0, ...next.splice(at, 1))
    onChange(next)
  }
  return (
    <fieldset className="choice" aria-labelledby={heading}>
      <legend id={heading}>
        {label} {chosen.length > 0 && <span className="muted num">{chosen.length}</span>}
      </legend>
      {choices && all.length === 0 && missing.length === 0 ? (
        <p className="small muted">{none}</p>
      ) : (
        <>
          {all.length > MANY && (
            <input
              className="filter"
              type="search"
              aria-label={`${words.common.filter}: ${label}`}
              placeholder={words.common.filter}
              value={filter}
              onChange={(event) => setFilter(event.target.value)}
            />
          )}
          <div className="picks">
            {missing.map((id) => (
              <label key={id} className="check">
                <input type="checkbox" checked onChange={() => toggle(id)} />
                <span className="busy">{gone}</span>
              </label>
            ))}
            {found.map((one) => (
              <label key={one.id} className="check">
                <input type="checkbox" checked={chosen.includes(one.id)} onChange={() => toggle(one.id)} />
                <span>
                  {one.title}
                  {one.more && <span className="small muted">{one.more}</span>}
                </span>
              </label>
            ))}
            {choices && found.length === 0 && all.length > 0 && <p className="small muted">{words.common.nothing}</p>}
          </div>
          {ordered && chosen.length > 1 && (
            <ol className="order">
              {chosen.map((id, at) => (
                <li key={id}>
                  <span>{titleOf(id)}</span>
                  <Button weight="quiet" className="icon" isDisabled={at === 0} onPress={() => move(at, -1)} aria-label={words.common.up(titleOf(id))}>
                    ↑
                  </Button>
                  <Button
                    weight="quiet"
                    className="icon"
                    isDisabled={at === chosen.length - 1}
                    onPress={() => move(at, 1)}
                    aria-label={words.common.down(titleOf(id))}
                  >
                    ↓
                  </Button>
                </li>
              ))}
            </ol>
          )}
        </>
      )}
      {problem && <p className="small bad">{problem}</p>}
    </fieldset>
  )
}
