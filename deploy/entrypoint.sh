#!/bin/sh
# For images that take their secrets from the environment only: NAME=content of the file NAME_FILE, then the command.
# Our own programs read NBHUB_*_FILE themselves and need none of this.
set -eu

for name in \
  API_CLIENT_SECRET \
  HUB_CLIENT_SECRET \
  KC_BOOTSTRAP_ADMIN_PASSWORD \
  KC_DB_PASSWORD \
  KEYCLOAK_DB_PASSWORD \
  NOTEBOOKS_DB_PASSWORD \
  POSTGRES_PWD \
  SQL_PASSWORD \
  TEMPORAL_AUTH_CLIENT_SECRET \
  TEMPORAL_DB_PASSWORD \
  TEMPORAL_UI_CLIENT_SECRET; do
  file=$(printenv "${name}_FILE" || true)
  [ -n "$file" ] || continue
  value=$(cat -- "$file")
  [ -n "$value" ] || { echo "entrypoint: $file is empty" >&2; exit 1; }
  export "$name=$value"
  unset "${name}_FILE"
done

exec "$@"
