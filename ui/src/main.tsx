import { StrictMode } from "react"
import { createRoot } from "react-dom/client"

import "./tokens.css"
import "./base.css"
import "./kit/kit.css"
import "./app.css"
import { App } from "./app"
import { applyLook } from "./look"
import { begin } from "./begin"

applyLook()

// A part of an older build is gone: the page of now has its own. Or nobody answered: then it is there a moment later.
addEventListener("vite:preloadError", () => void reloadOnceThereIsAnAnswer())

async function reloadOnceThereIsAnAnswer(): Promise<void> {
  while (!(await fetch("/livez").catch(() => undefined))?.ok) await new Promise((wake) => setTimeout(wake, 2000))
  location.reload()
}

const root = document.getElementById("root")
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App begun={begin()} />
    </StrictMode>,
  )
}
