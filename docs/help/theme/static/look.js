/* Light or dark as the page at /ui was told; else as the system has it. */
"use strict"
const look = localStorage.getItem("nbhub-look")
if (look === "light" || look === "dark") document.documentElement.dataset.look = look
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea")) return
  event.preventDefault()
  document.querySelector("input[type=search]").focus()
})
