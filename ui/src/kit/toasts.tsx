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

export function Toasts() {
  const words = useWords()
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
