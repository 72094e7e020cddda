import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { Input } from "react-aria-components/Input"
import { Label } from "react-aria-components/Label"
import { TextField } from "react-aria-components/TextField"

import { type Dataset, api, onceKey, told } from "../api/client"
import { useDatasets, useMe, useTrash } from "../api/queries"
import { useTimes, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Window } from "../kit/Ask"
import { Empty } from "../kit/Notice"
import { complain, say } from "../kit/toasts"
import { Loading, Trouble } from "./Home"
import { Share } from "./Share"
import { useTitle } from "./title"

/** One's datasets, those that others share with one, and what is in the trash. */
export default function Datasets() {
  const words = useWords()
  useTitle(words.nav.datasets)
  const me = useMe().data
  const datasets = useDatasets()
  const [making, setMaking] = useState(false)
  if (datasets.error && !datasets.data) return <Trouble error={datasets.error} />
  return (
    <div className="stack">
      <section aria-labelledby="datasets">
        <div className="heading">
          <div>
            <h1 id="datasets">{words.datasets.title}</h1>
            <p className="muted">{words.datasets.more}</p>
          </div>
          <Button weight="primary" onPress={() => setMaking(true)} isDisabled={!me?.can.create_dataset}>
            {words.datasets.create}
          </Button>
        </div>
        {!datasets.data || !me ? (
          <Loading />
        ) : datasets.data.length === 0 ? (
          <div className="panel">
            <Empty title={words.datasets.none}>{words.datasets.noneMore}</Empty>
          </div>
        ) : (
          <ul className="panel lines">
            {datasets.data.map((one) => (
              <Line key={one._id} dataset={one} own={one.owner === me.email || me.admin} mine={one.owner === me.email} />
            ))}
          </ul>
        )}
      </section>
      <Trash />
      <Make open={making} onClose={() => setMaking(false)} />
    </div>
  )
}

function Line({ dataset, own, mine }: { dataset: Dataset; own: boolean; mine: boolean }) {
  const words = useWords()
  const known = useQueryClient()
  const [sharing, setSharing] = useState(false)
  const look = () => Promise.all(["datasets", "trash"].map((key) => known.invalidateQueries({ queryKey: [key] })))
  const restore = useRestore()
  const remove = useMutation({
    mutationFn: () =>
      told(
        api.DELETE("/datasets/{id}", {
          params: { path: { id: dataset._id }, header: { "Idempotency-Key": onceKey(), Prefer: "wait=5" } },
        }),
      ),
    onSuccess: () => {
      say(words.datasets.trashed(dataset.name), { label: words.common.undo, run: () => restore.mutate(dataset._id) })
    },
    onError: (error) => complain(words.trouble.request, error),
    onSettled: look,
  })
  return (
    <li>
      <div className="what">
        <span className="name">{dataset.name}</span>
        <div className="small muted">
          {[!mine && words.common.by(dataset.owner), dataset.description].filter(Boolean).join(" · ")}
        </div>
      </div>
      <code className="small muted">/opt/datasets/{dataset.name}</code>
      <span className="small muted">{mine ? words.access.owner : dataset.write_access ? words.access.write : words.access.read}</span>
      <div className="actions end">
        {own && (
          <>
            <Button onPress={() => setSharing(true)} aria-label={`${words.share.button} ${dataset.name}`}>
              {words.share.button}
            </Button>
            <Button
              weight="quiet"
              isDisabled={remove.isPending}
              onPress={() => remove.mutate()}
              aria-label={`${words.common.remove} ${dataset.name}`}
            >
              {words.common.remove}
            </Button>
          </>
        )}
      </div>
      {sharing && (
        <Share what={{ kind: "datasets", id: dataset._id, name: dataset.name }} open onClose={() => setSharing(false)} />
      )}
    </li>
  )
}

function useRestore() {
  const words = useWords()
  const known = useQueryClient()
  return useMutation({
    mutationFn: (id: string) =>
      told(
        api.POST("/datasets/{id}/restore", {
          params: { path: { id }, header: { "Idempotency-Key": onceKey(), Prefer: "wait=5" } },
        }),
      ),
    onSuccess: (restored) => say(words.datasets.restored(restored.name)),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: () => Promise.all(["datasets", "trash"].map((key) => known.invalidateQueries({ queryKey: [key] }))),
  })
}

function Trash() {
  const words = useWords()
  const times = useTimes()
  const trashed = (useTrash().data ?? []).filter((one) => one.kind === "dataset")
  const restore = useRestore()
  if (trashed.length === 0) return null
  return (
    <section aria-labelledby="trash">
      <h2 id="trash">{words.datasets.trash}</h2>
      <ul className="panel lines">
        {trashed.map((one) => (
          <li key={one._id}>
            <span className="name">{one.name}</span>
            <span className="small muted">{words.datasets.purged(times.day(one.purged_at))}</span>
            <div className="actions end">
              <Button
                isDisabled={restore.isPending}
                onPress={() => restore.mutate(one._id)}
                aria-label={`${words.common.restore} ${one.name}`}
              >
                {words.common.restore}
              </Button>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Make({ open, onClose }: { open: boolean; onClose: () => void }) {
  const words = useWords()
  const known = useQueryClient()
  const [name, setName] = useState("")
  const [description, setDescription] = useState("")
  const [key, setKey] = useState(onceKey)
  const make = useMutation({
    mutationFn: () =>
      told(
        api.POST("/datasets", {
          params: { header: { "Idempotency-Key": key, Prefer: "wait=10" } },
          body: { name, ...(description && { description }) },
        }),
      ),
    onSuccess: () => {
      setName("")
      setDescription("")
      onClose()
      return known.invalidateQueries({ queryKey: ["datasets"] })
    },
    onSettled: () => setKey(onceKey()),
  })
  return (
    <Window title={words.datasets.create} open={open} onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault()
          make.mutate()
        }}
      >
        <TextField className="field" value={name} onChange={setName} isRequired autoFocus maxLength={64}>
          <Label>{words.common.name}</Label>
          <Input autoComplete="off" />
        </TextField>
        <TextField className="field" value={description} onChange={setDescription} maxLength={1000}>
          <Label>{words.common.description}</Label>
          <Input autoComplete="off" />
        </TextField>
        {make.error && <Trouble error={make.error} />}
        <div className="actions end">
          <Button onPress={onClose}>{words.common.cancel}</Button>
          <Button type="submit" weight="primary" isDisabled={!name.trim() || make.isPending}>
            {words.datasets.create}
          </Button>
        </div>
      </form>
    </Window>
  )
}
