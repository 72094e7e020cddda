import type { ReactNode } from "react"
import { Header } from "react-aria-components/Header"
import { Menu as List, MenuItem, MenuSection, MenuTrigger } from "react-aria-components/Menu"
import { Popover } from "react-aria-components/Popover"
import { Separator } from "react-aria-components/Separator"

export { Header, MenuItem, MenuSection, Separator }

/** A button, and the choices that it opens. */
export function Menu({ button, label, children }: { button: ReactNode; label: string; children: ReactNode }) {
  return (
    <MenuTrigger>
      {button}
      <Popover className="popover" placement="bottom end" offset={6}>
        <List className="menu" aria-label={label}>
          {children}
        </List>
      </Popover>
    </MenuTrigger>
  )
}
