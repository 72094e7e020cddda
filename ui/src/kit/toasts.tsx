import { useEffect } from "react"
import { Button } from "react-aria-components/Button"
import { Text } from "react-aria-components/Text"
import { UNSTABLE_Toast as Toast, UNSTABLE_ToastContent as ToastContent, UNSTABLE_ToastQueue as ToastQueue, UNSTABLE_ToastRegion as ToastRegion } from "react-aria-components/Toast"

import { useWords } from "../i18n"
import { Refused } from "../api/errors"

interface Said {
  title: string
  more?: string | undefined
  mood: "calm" | "bad"
  action?: { label: string; run: () => void } | undefined
}

const said = new ToastQueue<Said>({ maxVisibleToasts: 3 })
const CALM_MS = 6000

/** Say that something was done, perhaps with a way back. */
export function say(title: string, action?: Said["action"]): void {
  said.add({ title, mood: "calm", action }, { timeout: CALM_MS })
}

/** Say why something did not work; it stays until it is read. */
export function complain(title: string, error: unknown): void {
  const more = error instanceof Refused ? [error.message, error.hint].filter(Boolean).join(" ") : String(error)
  said.add({ title, more, mood: "bad" })
}

/** What is said last and can be undone is, by Ctrl or ⌘ and Z: a toast is far away for who uses the keyboard. */
function useUndoKeys(): void {
  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return
      // What is typed has an undo of its own.
      if (event.target instanceof Element && event.target.closest("input, textarea, select")) return
      const last = said.visibleToasts.find((toast) => toast.content.action)
      if (!last) return
      event.preventDefault()
      last.content.action?.run()
      said.close(last.key)
    }
    addEventListener("keydown", keys)
    return () => removeEventListener("keydown", keys)
  }, [])
}

export function Toasts() {
  const words = useWords()
  useUndoKeys()
  return (
    <ToastRegion queue={said} className="toasts">
      {({ toast }) => (
        <Toast toast={toast} className={`toast ${toast.content.mood}`}>
          <ToastContent>
            <Text slot="title">{toast.content.title}</Text>
            {toast.content.more && <Text slot="description">{toast.content.more}</Text>}
          </ToastContent>
          {toast.content.action && (
            <Button
              className="button quiet"
              onPress={() => {
                toast.content.action?.run()
                said.close(toast.key)
              }}
            >
              {toast.content.action.label}
              <kbd aria-hidden="true">{words.common.undoKeys}</kbd>
            </Button>
          )}
          <Button slot="close" className="button quiet icon" aria-label={words.common.dismiss}>
            ×
          </Button>
        </Toast>
      )}
    </ToastRegion>
  )
}
