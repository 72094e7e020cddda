/** The words of the page in the language that the person chose, or that the browser asks for. */
import { type ReactNode, createContext, useContext, useMemo, useState } from "react"
import { I18nProvider } from "react-aria-components/I18nProvider"

import { de } from "./de"
import { type Words, en } from "./en"

const LANGUAGE = "nbhub-language"
const LANGUAGES = { en, de }
type Language = keyof typeof LANGUAGES

interface Spoken {
  words: Words
  change: () => void
}

const Spoken = createContext<Spoken>({ words: en, change: () => undefined })

function wanted(): Language {
  const chosen = localStorage.getItem(LANGUAGE) ?? navigator.language.slice(0, 2)
  return chosen in LANGUAGES ? (chosen as Language) : "en"
}

export function Speaking({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(wanted)
  document.documentElement.lang = language
  const spoken = useMemo(
    () => ({
      words: LANGUAGES[language],
      change: () => {
        const other = language === "en" ? "de" : "en"
        localStorage.setItem(LANGUAGE, other)
        setLanguage(other)
      },
    }),
    [language],
  )
  return (
    <I18nProvider locale={spoken.words.locale}>
      <Spoken value={spoken}>{children}</Spoken>
    </I18nProvider>
  )
}

/** The words of one page, which come with it. */
export function useSpoken<W>(table: { en: W; de: W }): W {
  return useWords().locale === de.locale ? table.de : table.en
}

export const useWords = (): Words => useContext(Spoken).words
export const useOtherLanguage = () => useContext(Spoken).change

/** Moments as people say them. */
export function useTimes() {
  const words = useWords()
  return useMemo(() => {
    const hour = new Intl.DateTimeFormat(words.locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
    const day = new Intl.DateTimeFormat(words.locale, { day: "numeric", month: "short" })
    const date = new Intl.DateTimeFormat(words.locale, { dateStyle: "medium" })
    const full = new Intl.DateTimeFormat(words.locale, { dateStyle: "long", timeStyle: "medium" })
    const ago = new Intl.RelativeTimeFormat(words.locale, { numeric: "auto" })
    const short = (moment: string) => {
      const at = new Date(moment)
      const days = Math.round((startOfDay(new Date()) - startOfDay(at)) / 86_400_000)
      if (days === 0) return hour.format(at)
      return days === 1 ? ago.format(-1, "day") : day.format(at)
    }
    const seconds = (milliseconds: number) =>
      words.time.seconds(
        new Intl.NumberFormat(words.locale, {
          minimumFractionDigits: milliseconds < 60_000 ? 1 : 0,
          maximumFractionDigits: milliseconds < 60_000 ? 1 : 0,
        }).format(milliseconds / 1000),
      )
    return { short, day: (moment: string) => date.format(new Date(moment)), full: (moment: string) => full.format(new Date(moment)), seconds }
  }, [words])
}

function startOfDay(moment: Date): number {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime()
}
