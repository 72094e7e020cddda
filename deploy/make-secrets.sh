#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: make-secrets.sh [DIRECTORY]. A file that exists is kept.
set -eu
. "$(dirname -- "$0")/secret-files.sh"

directory=${1:-$(dirname -- "$0")/secrets}
mkdir -p -- "$directory"
cd -- "$directory"
mkdir -p spec-signing-keys spec-keys

for name in postgres-password nbhub-db-password temporal-db-password keycloak-db-password \
  keycloak-admin-password api-client-secret hub-client-secret temporal-ui-client-secret hub-worker-token hub-proxy-token \
  vault-api-secret-id vault-worker-secret-id; do
  [ -s "$name" ] || openssl rand -hex 32 | keep "$name"
done
[ -s payload-keys ] || fernet_key | sed 's/^/1:/' | keep payload-keys
[ -s session-key ] || fernet_key | keep session-key
[ -s spec-signing-keys/current ] || spec_key 1
for name in temporal-ca-cert temporal-server-cert temporal-server-key temporal-client-cert temporal-client-key; do
  if [ ! -s "$name" ]; then
    temporal_certificates
    break
  fi
done
# These follow from the others.
public_spec_key "$(cat spec-signing-keys/current)"
printf 'postgresql://nbhub:%s@postgres:5432/nbhub\n' "$(cat nbhub-db-password)" | keep database-url

own
