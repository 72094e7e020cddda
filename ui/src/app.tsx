import { QueryClientProvider } from "@tanstack/react-query"
import { Component, type ReactNode, Suspense, lazy, startTransition, use, useCallback, useState } from "react"
import { Route, Router, Switch } from "wouter"

import { Refused } from "./api/errors"
import { queries } from "./api/queries"
import { type Begun, begin } from "./begin"
import { Speaking, useWords } from "./i18n"
import { Toasts } from "./kit/toasts"
import { lookSoon } from "./live/parts"
import { Frame } from "./pages/Frame"
import { Home } from "./pages/Home"
import { Missing } from "./pages/Missing"
import { SignedOut, SignInRefused, Waiting } from "./pages/SignIn"
import { SignInEnded, noteRefusal } from "./pages/SignInEnded"

function noted(error: unknown): void {
  noteRefusal(error)
  if (error instanceof Refused && error.away) lookSoon()
}

queries.getQueryCache().config.onError = noted
queries.getMutationCache().config.onError = noted

const Admin = lazy(() => import("./pages/Admin"))
const Audit = lazy(() => import("./pages/Audit"))
const Datasets = lazy(() => import("./pages/Datasets"))
const Files = lazy(() => import("./pages/Files"))
const Groups = lazy(() => import("./pages/Groups"))
const Launch = lazy(() => import("./pages/Launch"))
const Modules = lazy(() => import("./pages/Modules"))
const Secrets = lazy(() => import("./pages/Secrets"))
const Templates = lazy(() => import("./pages/Templates"))
const ServerPage = lazy(() => import("./pages/ServerPage"))

export function App({ begun }: { begun: Promise<Begun> }) {
  return (
    <Speaking>
      <Mended>
        <Suspense fallback={<Waiting />}>
          <Gate begun={begun} />
        </Suspense>
      </Mended>
    </Speaking>
  )
}

function Gate({ begun: first }: { begun: Promise<Begun> }) {
  const [begun, setBegun] = useState(first)
  const again = useCallback(() => startTransition(() => setBegun(begin())), [])
  const how = use(begun)
  if (how.as === "leading") return <Waiting />
  if (how.as === "signed-out") return <SignedOut />
  if (how.as === "refused") return <SignInRefused refusal={how.refusal} onAgain={again} />
  return (
    <QueryClientProvider client={queries}>
      <Router base="/ui">
        <Switch>
          <Route path="/signed-in">
            <SignedInAgain />
          </Route>
          <Route>
            <Frame>
              <Mended>
                <Suspense fallback={<p className="muted">…</p>}>
                  <Switch>
                    <Route path="/" component={Home} />
                    <Route path="/servers/:id">{({ id }) => <ServerPage key={id} id={id} />}</Route>
                    <Route path="/launch" component={Launch} />
                    <Route path="/templates" component={Templates} />
                    <Route path="/datasets" component={Datasets} />
                    <Route path="/modules" component={Modules} />
                    <Route path="/secrets" component={Secrets} />
                    <Route path="/groups" component={Groups} />
                    <Route path="/files/*?" component={Files} />
                    <Route path="/admin" component={Admin} />
                    <Route path="/admin/audit" component={Audit} />
                    <Route component={Missing} />
                  </Switch>
                </Suspense>
              </Mended>
            </Frame>
            <SignInEnded />
          </Route>
        </Switch>
      </Router>
      <Toasts />
    </QueryClientProvider>
  )
}

function SignedInAgain() {
  return (
    <main className="alone">
      <h1>{useWords().signIn.done}</h1>
    </main>
  )
}

/** Shows what went wrong in the place of what could not be shown. */
class Mended extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: undefined }

  static getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    return this.state.error === undefined ? this.props.children : <Broken error={this.state.error} />
  }
}

function Broken({ error }: { error: unknown }) {
  const words = useWords()
  return (
    <div className="alone" role="alert">
      <h1>{words.trouble.page}</h1>
      <p className="muted">{error instanceof Error ? error.message : String(error)}</p>
      <a className="button primary" href={location.href}>
        {words.common.again}
      </a>
    </div>
  )
}
