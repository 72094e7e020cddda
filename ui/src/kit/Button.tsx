import { Button as Pressed, type ButtonProps } from "react-aria-components/Button"
import type { ComponentProps, ReactNode } from "react"
import { Link } from "wouter"

type Weight = "primary" | "plain" | "quiet" | "danger"

/** A button; the most likely wish of a row or a dialog is `primary`, the rest is quieter. */
export function Button({
  weight = "plain",
  className = "",
  ...props
}: Omit<ButtonProps, "className"> & { weight?: Weight; className?: string }) {
  return <Pressed {...props} className={`button ${weight} ${className}`} />
}

/** A link that looks like a button: it leads somewhere and changes nothing. */
export function ButtonLink({ to, weight = "plain", children }: { to: string; weight?: Weight; children: ReactNode }) {
  return (
    <Link href={to} className={`button ${weight}`}>
      {children}
    </Link>
  )
}

/** A link that looks like a button and leaves this page. */
export function ButtonAway({ weight = "plain", ...props }: ComponentProps<"a"> & { weight?: Weight }) {
  return <a rel="noopener noreferrer" target="_blank" {...props} className={`button ${weight}`} />
}
