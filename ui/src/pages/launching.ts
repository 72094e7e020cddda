/** Making a server and starting it, for a terminal and a program. */
import type { TemplateCreate } from "../api/client"
import { type Ways, quoted } from "../kit/CopyAs"

/** What is launched: a template, or what one of its own is made of. */
export type Launched = { template: string } | { made: TemplateCreate }

const CURL = 'curl -s -H "Authorization: Bearer $NBHUB_TOKEN"'
const ITS_ID = `python3 -c 'import json, sys; print(json.load(sys.stdin)["_id"])'`

export function launchingOf(what: Launched): Ways {
  const { words, sent, call } = "template" in what ? ofTemplate(what.template) : ofItsOwn(what.made)
  return {
    nbhub: `nbhub servers create ${words} --start`,
    curl: `${CURL} ${sent} | ${ITS_ID} | xargs -I ID ${CURL} -X PUT ${location.origin}/servers/ID/start`,
    Python: `from nbhub import Hub; hub = Hub("${location.origin}"); hub.servers.start(hub.servers.${call}).wait()`,
  }
}

const ofTemplate = (id: string) => ({
  words: `--template ${id}`,
  sent: `-X PUT "${location.origin}/servers?templateId=${id}"`,
  call: `launch("${id}")`,
})

function ofItsOwn(made: TemplateCreate) {
  const { name, description, applicationType, hardware, filePath, datasets, modules, secrets } = made
  const options = [
    ["description", description],
    ["application", applicationType],
    ["hardware", hardware],
    ["file", filePath],
    ...Object.entries({ dataset: datasets, module: modules, secret: secrets }).flatMap(([kind, ids]) => (ids ?? []).map((id) => [kind, id])),
  ] as const
  const fields = { description, application_type: applicationType, hardware, file_path: filePath, datasets, modules, secrets }
  return {
    words: [quoted(name), ...options.flatMap(([option, value]) => (value ? `--${option} ${quoted(value)}` : []))].join(" "),
    sent: `--json ${quoted(JSON.stringify(made))} ${location.origin}/servers`,
    call: `create(${[
      JSON.stringify(name),
      ...Object.entries(fields).flatMap(([field, value]) => (value?.length ? `${field}=${JSON.stringify(value)}` : [])),
    ].join(", ")})`,
  }
}
