#!/bin/sh
# New keys for payloads and for specs, beside the old ones: rotate-keys.sh [DIRECTORY]. API and workers have to be
# started again to use them. Old keys stay until rotate-keys.sh --prune [DIRECTORY]: docs/operations.md says when.
set -eu
. "$(dirname -- "$0")/secret-files.sh"

prune=
if [ "${1-}" = --prune ]; then
  prune=yes
  shift
fi
cd -- "${1:-$(dirname -- "$0")/secrets}"
if [ ! -s payload-keys ] || [ ! -s spec-signing-keys/current ]; then
  echo "rotate-keys: there are no keys in $(pwd): run make-secrets.sh first" >&2
  exit 1
fi
payload_keys=$(cat payload-keys)

payload_ids() { printf '%s\n' "$payload_keys" | tr , '\n' | cut -d : -f 1; }
spec_ids() { ls spec-keys spec-signing-keys | sed -n 's/\.pem$//p' | sort -u; }
# next: one more than the highest of the numbers among the ids that are read.
next() {
  highest=$(grep -x '[0-9][0-9]*' | sort -n | tail -n 1)
  echo $((${highest:-0} + 1))
}
others() { grep -vxF -e "$1" | paste -s -d ' ' - || true; }

if [ -z "$prune" ]; then
  id=$(payload_ids | next)
  key=$(fernet_key)
  [ -n "$key" ] || { echo "rotate-keys: no key came out of openssl" >&2; exit 1; }
  printf '%s:%s,%s\n' "$id" "$key" "$payload_keys" | keep payload-keys
  echo "The payload key is $id now. Start API and workers again."
  id=$(spec_ids | next)
  spec_key "$id"
  echo "The spec's key is $id now. Start the workers again."
  own
  exit
fi

current=$(cat spec-signing-keys/current)
old_payload=$(payload_ids | others "$(payload_ids | head -n 1)")
old_spec=$(spec_ids | others "$current")
if [ -z "$old_payload$old_spec" ]; then
  echo "There is nothing but the current keys."
  exit
fi
cat >&2 <<WARNING
This removes old keys for good.
  Payload keys ($old_payload): what was encrypted with them cannot be read any more, and a workflow that needs it
  cannot go on. Temporal's retention (7 days) must have passed since API and workers were started with the new key.
  Spec keys ($old_spec): JupyterHub refuses starts that were signed with them. That takes effect at once; specs live
  for two minutes, from the moment at which the last worker was started with the new key.
WARNING
printf 'Type yes to remove them: ' >&2
read -r answer || answer=
if [ "$answer" != yes ]; then
  echo "rotate-keys: nothing was removed" >&2
  exit 1
fi
printf '%s\n' "${payload_keys%%,*}" | keep payload-keys
for id in $old_spec; do
  rm -f -- "spec-keys/$id.pem" "spec-signing-keys/$id.pem"
done
own
