import { useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useState, useSyncExternalStore } from "react"
import { Link, useRoute } from "wouter"

import { Refused } from "../api/errors"
import { useMe } from "../api/queries"
import { signOut } from "../api/session"
import { useOtherLanguage, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Header, Menu, MenuItem, MenuSection, Separator } from "../kit/Menu"
import { Notice } from "../kit/Notice"
import { complain } from "../kit/toasts"
import { type Look, applyLook, chosenLook } from "../look"
import { Brand } from "./Brand"

/** What is around every page: where one can go, who one is, and whether something is away. */
export function Frame({ children }: { children: ReactNode }) {
  const words = useWords()
  const away = useAway()
  return (
    <>
      <a className="skip" href="#content">
        {words.nav.skip}
      </a>
      <header className="top">
        <Link href="/" className="home">
          <Brand />
        </Link>
        <nav aria-label={words.nav.main}>
          <Place to="/">{words.nav.servers}</Place>
          <Place to="/datasets">{words.nav.datasets}</Place>
        </nav>
        <Account />
      </header>
      <main id="content" tabIndex={-1}>
        <div aria-live="polite">{away && <Notice title={words.trouble.away}>{words.trouble.awayMore}</Notice>}</div>
        {children}
      </main>
    </>
  )
}

function Place({ to, children }: { to: string; children: string }) {
  const [here] = useRoute(to)
  return (
    <Link href={to} aria-current={here ? "page" : undefined}>
      {children}
    </Link>
  )
}

function Account() {
  const words = useWords()
  const change = useOtherLanguage()
  const [look, setLook] = useState(chosenLook)
  const me = useMe().data
  const name = me?.name ?? me?.email ?? ""
  const choose = (key: string | number) => {
    if (key === "out") signOut().catch((error: unknown) => complain(words.trouble.request, error))
    else if (key === "language") change()
    else {
      applyLook(key as Look)
      setLook(key as Look)
    }
  }
  return (
    <Menu
      label={words.nav.account}
      button={
        <Button weight="quiet" className="me" aria-label={`${words.nav.account}: ${name}`}>
          {initials(name)}
        </Button>
      }
    >
      <MenuSection>
        <Header>
          {me?.name && <b>{me.name}</b>}
          <span>{me?.email}</span>
        </Header>
      </MenuSection>
      <Separator />
      <MenuSection
        selectionMode="single"
        disallowEmptySelection
        selectedKeys={[look]}
        onSelectionChange={(keys) => keys !== "all" && [...keys].forEach(choose)}
      >
        <Header>{words.look.label}</Header>
        <MenuItem id="system">{words.look.system}</MenuItem>
        <MenuItem id="light">{words.look.light}</MenuItem>
        <MenuItem id="dark">{words.look.dark}</MenuItem>
      </MenuSection>
      <Separator />
      <MenuItem id="language" onAction={() => choose("language")}>
        {words.language}
      </MenuItem>
      <MenuItem id="out" onAction={() => choose("out")}>
        {words.nav.signOut}
      </MenuItem>
    </Menu>
  )
}

function initials(name: string): string {
  const parts = name.replace(/@.*/, "").split(/[\s._-]+/).filter(Boolean)
  const letters = parts.length > 1 ? [parts[0]?.[0], parts.at(-1)?.[0]] : [parts[0]?.slice(0, 2)]
  return letters.join("").toUpperCase()
}

/** Whether something that is shown could not be looked at lately. */
function useAway(): boolean {
  const cache = useQueryClient().getQueryCache()
  return useSyncExternalStore(
    (watcher) => cache.subscribe(watcher),
    () =>
      cache.getAll().some((query) => {
        const reason = query.state.fetchFailureReason ?? query.state.error
        return query.isActive() && reason instanceof Refused && reason.away
      }),
  )
}
