/* Looks for words in every section of the site; nothing that is shown becomes markup. */
"use strict"
const MOST = 40, AROUND = 90
const field = document.querySelector("form.find input"), said = document.getElementById("said")
const found = document.getElementById("found")

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean)

/* Every word has to be there; in a title it counts for more, and so does the beginning of a word. */
function worth([, page, title, text], words) {
  let sum = 0
  for (const word of words) {
    let best = 0
    for (const [within, counts] of [[title.toLowerCase(), 20], [page.toLowerCase(), 8], [text.toLowerCase(), 2]]) {
      const at = within.indexOf(word)
      if (at < 0) continue
      const begins = at === 0 || !/[\p{L}\p{N}]/u.test(within[at - 1])
      best = Math.max(best, counts * (begins ? 2 : 1) + (within.length === word.length ? counts : 0))
    }
    if (best === 0) return 0
    sum += best
  }
  return sum
}

function excerpt(text, words) {
  const lower = text.toLowerCase(), at = Math.max(0, ...words.map((word) => lower.indexOf(word)).slice(0, 1))
  const from = Math.max(0, at - AROUND), to = Math.min(text.length, at + 2 * AROUND)
  return (from ? "…" : "") + text.slice(from, to) + (to < text.length ? "…" : "")
}

function marked(text, words) {
  const node = document.createElement("p"), lower = text.toLowerCase()
  let at = 0
  while (at < text.length) {
    let next = text.length, length = 0
    for (const word of words) {
      const where = lower.indexOf(word, at)
      if (where >= 0 && where < next) [next, length] = [where, word.length]
    }
    node.append(text.slice(at, next))
    if (length) {
      const mark = document.createElement("mark")
      mark.textContent = text.slice(next, next + length)
      node.append(mark)
    }
    at = next + length
  }
  return node
}

function show(entries, words) {
  const ranked = entries.map((entry) => [worth(entry, words), entry]).filter(([sum]) => sum > 0)
  ranked.sort(([one], [other]) => other - one)
  const items = ranked.slice(0, MOST).map(([, [where, page, title, text]]) => {
    const item = document.createElement("li"), link = document.createElement("a")
    link.href = where
    link.textContent = title
    item.append(link)
    if (page !== title) {
      const of = document.createElement("small")
      of.textContent = page
      item.append(of)
    }
    item.append(marked(excerpt(text, words), words))
    return item
  })
  found.replaceChildren(...items)
  if (words.length === 0) said.textContent = "Type what you look for."
  else if (ranked.length > MOST) said.textContent = `The first ${MOST} of ${ranked.length} places.`
  else said.textContent = ranked.length === 1 ? "One place." : `${ranked.length || "No"} places.`
}

field.value = new URLSearchParams(location.search).get("q") ?? ""
said.textContent = "Looking…"
fetch("search.json").then((answer) => {
  if (!answer.ok) throw new Error(answer.status)
  return answer.json()
}).then((entries) => {
  const look = () => {
    show(entries, wordsOf(field.value))
    history.replaceState(null, "", `?${new URLSearchParams({ q: field.value })}`)
  }
  field.addEventListener("input", look)
  field.form.addEventListener("submit", (event) => event.preventDefault())
  look()
}).catch((error) => { said.textContent = `The index cannot be read: ${error.message}. Load the page again.` })
