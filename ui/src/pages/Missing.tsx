import { useWords } from "../i18n"
import { ButtonLink } from "../kit/Button"
import { useTitle } from "./title"

export function Missing() {
  const words = useWords()
  useTitle("404")
  return (
    <div className="empty">
      <h1>{words.trouble.missing}</h1>
      <ButtonLink to="/">{words.trouble.home}</ButtonLink>
    </div>
  )
}
