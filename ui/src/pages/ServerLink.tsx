import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"

import { api, onceKey, told } from "../api/client"
import { useSpoken, useTimes, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { complain, say } from "../kit/toasts"
import { Loading, Trouble } from "./Home"
import { words as table } from "./sharing.words"

/** The link by which others come into a server, and who came. */
export function ServerLink({ id }: { id: string }) {
  const sayings = useSpoken(table)
  const words = useWords()
  const times = useTimes()
  const known = useQueryClient()
  const key = ["access", id]
  const shared = useQuery({
    queryKey: key,
    queryFn: () => told(api.GET("/servers/{id}/share", { params: { path: { id }, query: { look: true } } })),
  })
  const make = useMutation({
    mutationFn: () => told(api.GET("/servers/{id}/share", { params: { path: { id } } })),
    onSuccess: (seen) => known.setQueryData(key, seen),
    onError: (error) => complain(words.trouble.request, error),
  })
  const take = useMutation({
    mutationFn: (email?: string) =>
      told(
        api.DELETE("/servers/{id}/share", {
          params: { path: { id }, query: email ? { email } : {}, header: { "Idempotency-Key": onceKey(), Prefer: "wait=5" } },
        }),
      ),
    onSuccess: (_, email) => say(email ? sayings.taken(email) : sayings.takenAll),
    onError: (error) => complain(words.trouble.request, error),
    onSettled: () => known.invalidateQueries({ queryKey: key }),
  })
  if (shared.error && !shared.data) return <Trouble error={shared.error} />
  if (!shared.data) return <Loading />
  const { url, users, groups, expires_at, as_of, reason } = shared.data
  const all = [...users, ...groups]
  return (
    <>
      <section>
        <h3>{sayings.link}</h3>
        <p className="small muted">{sayings.linkMore}</p>
        {url ? (
          <div className="pair">
            <label className="field">
              <span className="only-heard">{sayings.link}</span>
              <input readOnly value={url} onFocus={(event) => event.target.select()} />
            </label>
            <Button
              weight="primary"
              onPress={() =>
                navigator.clipboard.writeText(url).then(
                  () => say(sayings.copied),
                  (error: unknown) => complain(words.trouble.request, error),
                )
              }
            >
              {sayings.copy}
            </Button>
            {expires_at && <span className="small muted">{sayings.ends(times.full(expires_at))}</span>}
          </div>
        ) : (
          <>
            {(make.data?.reason ?? reason) && <p className="small">{make.data?.reason ?? reason}</p>}
            <div className="actions">
              <Button weight="primary" onPress={() => make.mutate()} isDisabled={make.isPending}>
                {sayings.make}
              </Button>
            </div>
          </>
        )}
      </section>
      <section>
        <h3>{sayings.users}</h3>
        {as_of && <p className="small muted">{sayings.seen(times.short(as_of))}</p>}
        {all.length === 0 ? (
          <p className="small muted">{sayings.nobody}</p>
        ) : (
          <ul className="lines plain long">
            {all.map((who) => (
              <li key={who}>
                <span className="name">{who}</span>
                {users.includes(who) && (
                  <Button
                    weight="quiet"
                    className="end"
                    isDisabled={take.isPending}
                    onPress={() => take.mutate(who)}
                    aria-label={`${sayings.take}: ${who}`}
                  >
                    {sayings.take}
                  </Button>
                )}
              </li>
            ))}
          </ul>
        )}
        {(url || all.length > 0) && (
          <>
            <p className="small muted">{sayings.takeMore}</p>
            <div className="actions">
              <Button weight="danger" onPress={() => take.mutate(undefined)} isDisabled={take.isPending}>
                {sayings.takeAll}
              </Button>
            </div>
          </>
        )}
      </section>
    </>
  )
}
