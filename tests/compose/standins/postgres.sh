#!/bin/bash
# As much of the original's entry point as docker-compose.yml relies on, in its order: root owns the directories and
# becomes postgres; an empty directory gets a database and what /docker-entrypoint-initdb.d makes in it.
set -eu

if [ "$(id -u)" = 0 ]; then
  POSTGRES_PASSWORD=$(cat -- "$POSTGRES_PASSWORD_FILE")
  export POSTGRES_PASSWORD
  unset POSTGRES_PASSWORD_FILE
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  chmod 3775 /var/run/postgresql
  chown postgres /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --pgdata "$PGDATA" --username postgres --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") \
    --set unix_socket_directories=/var/run/postgresql --set listen_addresses='*'
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  # Nobody gets in by TCP before it is whole.
  pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --wait start
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) psql --no-psqlrc --set ON_ERROR_STOP=1 --host /var/run/postgresql --username postgres --file "$file" ;;
    esac
  done
  pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
fi
unset POSTGRES_PASSWORD
exec "$@"
