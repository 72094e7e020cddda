import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"

import { onceKey } from "../../api/client"
import { Refused } from "../../api/errors"
import type { Kind, Read } from "../../api/kinds"
import { useSpoken, useWords } from "../../i18n"
import { Window } from "../../kit/Ask"
import { Button } from "../../kit/Button"
import { Refusing, standing, useDraft } from "../../kit/Form"
import { Notice } from "../../kit/Notice"
import { say } from "../../kit/toasts"
import { Loading, Trouble } from "../Home"
import { words as table } from "./words"

/** How a record is typed: `D` is what the fields hold. */
export interface Form<T, D extends object, B> {
  empty: D
  of: (record: T) => D
  /** Fields that are never kept, not even for this tab. */
  unkept?: readonly (keyof D)[]
  /** What is asked of the API. What a change leaves as it was is not sent. */
  body: (draft: D) => B
  /** Whether it can be sent. */
  whole: (draft: D, record: T | undefined) => boolean
  fields: (typed: { draft: D; set: (part: Partial<D>) => void; record: T | undefined }) => ReactNode
}

interface Edited<T extends { _id: string }, D extends object, B> {
  kind: Kind<T, B>
  form: Form<T, D, B>
  onClose: () => void
}

/** A form over the list: for a new record, or with `id` for one that is there. */
export function Editor<T extends { _id: string }, D extends object, B>({
  id,
  title,
  ...edited
}: Edited<T, D, B> & { id?: string; title: string | ((name: string) => string) }) {
  const { kind, onClose } = edited
  const found = useQuery({
    queryKey: [kind.name, "edited", id],
    queryFn: () => kind.read(id ?? ""),
    enabled: id !== undefined,
    // What is typed is about what was read when one began.
    staleTime: Infinity,
    gcTime: 0,
    refetchOnMount: "always",
  })
  const shown = typeof title === "string" ? title : title(found.data ? kind.nameOf(found.data.record) : "…")
  return (
    <Window title={shown} open onClose={onClose} wide>
      {id && found.error ? <Trouble error={found.error} /> : id && !found.data ? <Loading /> : <Typing {...edited} was={found.data} />}
    </Window>
  )
}

function Typing<T extends { _id: string }, D extends object, B>({
  kind,
  form,
  onClose,
  was,
}: Edited<T, D, B> & { was: Read<T> | undefined }) {
  const words = useSpoken(table)
  const { common } = useWords()
  const known = useQueryClient()
  const [base, setBase] = useState(was)
  const [theirs, setTheirs] = useState<Read<T>>()
  const [key, setKey] = useState(onceKey)
  const begun = base ? form.of(base.record) : form.empty
  const { draft, set, reset } = useDraft(`${kind.name}:${base?.record._id ?? "new"}`, begun, form.unkept)
  const [before, setBefore] = useState(() => JSON.stringify(draft) !== JSON.stringify(begun))
  const save = useMutation({
    mutationFn: (body: B) =>
      base ? kind.change(base.record._id, changes(body, form.body(form.of(base.record))), (theirs ?? base).tag) : kind.make(body, key),
    onSuccess: (record) => {
      reset()
      say((base ? words.saved : words.made)(kind.nameOf(record)))
      onClose()
      return Promise.all([kind.name, "me"].map((name) => known.invalidateQueries({ queryKey: [name] })))
    },
    onError: async (error) => {
      if (base && error instanceof Refused && error.status === 412) setTheirs(await kind.read(base.record._id))
    },
    onSettled: () => setKey(onceKey()),
  })
  const body = form.body(draft)
  const refused = standing(save.error, save.variables, body)
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        if (form.whole(draft, base?.record) && !save.isPending) save.mutate(body)
      }}
    >
      {before && (
        <div className="notice calm">
          <span>{words.before}</span>
          <Button
            weight="quiet"
            onPress={() => {
              reset()
              setBefore(false)
            }}
          >
            {words.over}
          </Button>
        </div>
      )}
      <Refusing details={refused.details}>{form.fields({ draft, set, record: base?.record })}</Refusing>
      {theirs ? (
        <Notice title={words.theirs}>
          {words.theirsMore}{" "}
          <Button
            weight="quiet"
            onPress={() => {
              setBase(theirs)
              reset(form.of(theirs.record))
              setTheirs(undefined)
              save.reset()
            }}
          >
            {words.takeTheirs}
          </Button>
        </Notice>
      ) : (
        refused.error && <Trouble error={refused.error} />
      )}
      <div className="actions end sticky">
        <Button
          onPress={() => {
            reset()
            onClose()
          }}
        >
          {common.cancel}
        </Button>
        <Button type="submit" weight="primary" isDisabled={!form.whole(draft, base?.record) || save.isPending}>
          {base ? common.save : common.create}
        </Button>
      </div>
    </form>
  )
}

/** What of one is not as in the other. */
function changes<B>(now: B, before: B): Partial<B> {
  const fields = Object.keys(now as object) as (keyof B)[]
  return Object.fromEntries(
    fields.filter((field) => JSON.stringify(now[field]) !== JSON.stringify(before[field])).map((field) => [field, now[field]]),
  ) as Partial<B>
}
