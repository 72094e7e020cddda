import { useWords } from "../i18n"
import { ButtonLink } from "../kit/Button"
import { Empty } from "../kit/Notice"
import { useTitle } from "./title"

export function Missing() {
  const words = useWords()
  useTitle("404")
  return (
    <Empty action={<ButtonLink to="/">{words.trouble.home}</ButtonLink>}>{words.trouble.missing}</Empty>
  )
}
