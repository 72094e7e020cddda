import { type ReactNode, Suspense, lazy, useEffect, useRef, useState } from "react"
import { Link, useLocation, useRoute } from "wouter"

import { useMe } from "../api/queries"
import { signOut } from "../api/session"
import { useOtherLanguage, useWords } from "../i18n"
import { Button } from "../kit/Button"
import { Header, Menu, MenuItem, MenuSection, Separator } from "../kit/Menu"
import { follow } from "../live/events"
import { complain } from "../kit/toasts"
import { type Look, applyLook, chosenLook } from "../look"
import { AwayNotice } from "./AwayNotice"
import { Brand } from "./Brand"

/** What is around every page: where one can go, who one is, and whether something is away. */
export function Frame({ children }: { children: ReactNode }) {
  const words = useWords()
  const me = useMe().data
  const person = me?._id
  useEffect(() => (person ? follow(person) : undefined), [person])
  const content = useArrival()
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
          {PLACES.map((place) => (
            <Place key={place} to={`/${place}`}>
              {words.nav[place]}
            </Place>
          ))}
          {me?.admin && <Place to="/admin">{words.nav.admin}</Place>}
        </nav>
        <Find />
        <Account />
      </header>
      <main id="content" tabIndex={-1} ref={content}>
        <AwayNotice />
        {children}
      </main>
    </>
  )
}

/** Another page begins at its top, also for who uses the keyboard and whose link is gone. */
function useArrival() {
  const content = useRef<HTMLElement>(null)
  const [place] = useLocation()
  const before = useRef(place)
  const back = useRef(false)
  useEffect(() => {
    const goesBack = () => {
      back.current = true
    }
    addEventListener("popstate", goesBack)
    return () => removeEventListener("popstate", goesBack)
  }, [])
  useEffect(() => {
    if (before.current === place) return
    before.current = place
    // Who goes back is where they were.
    if (!back.current) scrollTo(0, 0)
    back.current = false
    if (document.activeElement === document.body) content.current?.focus({ preventScroll: true })
  }, [place])
  return content
}

export const PLACES = ["templates", "datasets", "modules", "secrets", "groups", "files"] as const

function Place({ to, children }: { to: string; children: string }) {
  const [exactly] = useRoute(to)
  const [beneath] = useRoute(`${to}/*`)
  const here = exactly || (to !== "/" && beneath)
  return (
    <Link href={to} aria-current={here ? "page" : undefined}>
      {children}
    </Link>
  )
}

const Palette = lazy(() => import("./Palette"))

/** Opens what finds everything, also by Ctrl or ⌘ and K. */
function Find() {
  const words = useWords()
  const [open, setOpen] = useState(false)
  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return
      event.preventDefault()
      setOpen(true)
    }
    addEventListener("keydown", keys)
    return () => removeEventListener("keydown", keys)
  }, [])
  return (
    <>
      <Button className="find" onPress={() => setOpen(true)} aria-label={words.nav.find}>
        <span className="text">{words.nav.find}</span>
        <kbd aria-hidden="true">{words.nav.findKeys}</kbd>
      </Button>
      {open && (
        <Suspense>
          <Palette onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
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
      <MenuItem href="/help" target="_blank">
        {words.nav.help}
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
