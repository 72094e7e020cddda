import type { ReactNode } from "react"

/** One line about the whole page, or about a part of it. */
export function Notice({ mood = "busy", title, children }: { mood?: "busy" | "bad" | "calm"; title?: string; children?: ReactNode }) {
  return (
    <div className={`notice ${mood}`} role={mood === "bad" ? "alert" : "status"}>
      {title && <strong>{title}</strong>}
      {children && <span>{children}</span>}
    </div>
  )
}

/** Why there is nothing, and what to do about it. */
export function Empty({ title, children, action }: { title?: string; children: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      {title && <strong>{title}</strong>}
      <p>{children}</p>
      {action}
    </div>
  )
}
