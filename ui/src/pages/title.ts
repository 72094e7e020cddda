import { useEffect } from "react"

import busy from "../icons/busy.svg"
import failed from "../icons/failed.svg"
import idle from "../icons/idle.svg"
import ready from "../icons/ready.svg"

const ICONS = { idle, busy, ready, failed }

/** What the tab says: its title, and how things are. */
export function useTitle(title: string, how: keyof typeof ICONS = "idle"): void {
  useEffect(() => {
    document.title = `${title} · Notebooks Hub`
    document.getElementById("icon")?.setAttribute("href", ICONS[how])
  }, [title, how])
}
