import type { ReactNode } from "react"
import { Dialog } from "react-aria-components/Dialog"
import { Heading } from "react-aria-components/Heading"
import { Modal, ModalOverlay } from "react-aria-components/Modal"

import { Button } from "./Button"

/** A dialog over the page. */
export function Window({
  title,
  open,
  onClose,
  wide = false,
  role = "dialog",
  children,
}: {
  title: string
  open: boolean
  onClose: () => void
  wide?: boolean
  role?: "dialog" | "alertdialog"
  children: ReactNode
}) {
  return (
    <ModalOverlay className="veil" isOpen={open} onOpenChange={(now) => now || onClose()} isDismissable={role === "dialog"}>
      <Modal className={wide ? "window wide" : "window"}>
        <Dialog role={role} className="dialog">
          <Heading slot="title">{title}</Heading>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}

/** Ask before something that cannot be taken back, saying what stays and what goes. */
export function Ask({
  title,
  yes,
  no,
  open,
  onYes,
  onClose,
  children,
}: {
  title: string
  yes: string
  no: string
  open: boolean
  onYes: () => void
  onClose: () => void
  children: ReactNode
}) {
  return (
    <Window title={title} open={open} onClose={onClose} role="alertdialog">
      <p>{children}</p>
      <div className="actions end">
        <Button onPress={onClose} autoFocus>
          {no}
        </Button>
        <Button
          weight="danger"
          onPress={() => {
            onYes()
            onClose()
          }}
        >
          {yes}
        </Button>
      </div>
    </Window>
  )
}
