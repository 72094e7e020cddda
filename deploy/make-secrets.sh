#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: make-secrets.sh [DIRECTORY]. A file that exists is kept.
set -eu
umask 077
# Every container that reads these files runs as this user, and a mounted file keeps its owner.
owner=1000

directory=${1:-$(dirname -- "$0")/secrets}
mkdir -p -- "$directory"
cd -- "$directory"
chmod 0700 .

# keep NAME: write standard input to NAME, whole or not at all.
keep() {
  cat >"$1.new"
  [ -s "$1.new" ] || { echo "make-secrets: $1 came out empty" >&2; exit 1; }
  mv -- "$1.new" "$1"
}
password() { [ -s "$1" ] || openssl rand -hex 32 | keep "$1"; }
fernet_key() { openssl rand -base64 32 | tr '+/' '-_'; }

for name in postgres-password nbhub-db-password temporal-db-password keycloak-db-password \
  keycloak-admin-password api-client-secret hub-client-secret hub-worker-token hub-proxy-token codec-token; do
  password "$name"
done
[ -s payload-keys ] || fernet_key | sed 's/^/1:/' | keep payload-keys
[ -s session-key ] || fernet_key | keep session-key
[ -s spec-signing-key.pem ] || openssl genpkey -algorithm ed25519 | keep spec-signing-key.pem
# These follow from the others.
openssl pkey -in spec-signing-key.pem -pubout | keep spec-verifying-key.pem
printf 'postgresql://nbhub:%s@postgres:5432/nbhub\n' "$(cat nbhub-db-password)" | keep database-url

chmod 0600 ./*
if [ "$(id -u)" -eq 0 ]; then
  chown -R "$owner:$owner" .
elif [ "$(id -u)" -ne "$owner" ]; then
  echo "make-secrets: the containers run as user $owner and cannot read these files:" \
    "sudo chown -R $owner:$owner $(pwd)" >&2
fi
