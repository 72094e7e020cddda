import type { Pages } from "../api/pages"
import { useWords } from "../i18n"
import { Button } from "./Button"

/** How many of a list are shown, and the way to the others; nothing where there are none. */
export function Rest<T>({ list, narrow }: { list: Pages<T>; /** How to find one of the others. */ narrow?: string }) {
  const words = useWords()
  if (!list.hasMore || !list.all) return null
  return (
    <div className="rest">
      <p className="small muted num" role="status">
        {words.common.shown(list.all.length, list.total)} {narrow}
      </p>
      <Button onPress={list.more} isDisabled={list.loadsMore}>
        {list.loadsMore ? words.common.loading : words.common.rest}
      </Button>
    </div>
  )
}
