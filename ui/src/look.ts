/** Light or dark: as the system has it, unless the person chose. */
const LOOK = "nbhub-look"
export type Look = "system" | "light" | "dark"

export function chosenLook(): Look {
  const kept = localStorage.getItem(LOOK)
  return kept === "light" || kept === "dark" ? kept : "system"
}

export function applyLook(look: Look = chosenLook()): void {
  if (look === "system") localStorage.removeItem(LOOK)
  else localStorage.setItem(LOOK, look)
  document.documentElement.style.colorScheme = look === "system" ? "" : look
}
