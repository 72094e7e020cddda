#!/bin/sh
# The two one-shot steps around Temporal's server; both may be repeated.
#   setup.sh schema     brings its databases to the schema of this image; before the server starts
#   setup.sh namespace  makes the namespace of the workflows; after it started
set -eu

# The password is SQL_PASSWORD of the environment.
sql() { temporal-sql-tool --plugin postgres12 --ep postgres -p 5432 -u temporal "$@"; }
versions=/etc/temporal/schema/postgresql/v12

case "$1" in
  schema)
    sql --db temporal setup-schema -v 0.0
    sql --db temporal update-schema -d "$versions/temporal/versioned"
    sql --db temporal_visibility setup-schema -v 0.0
    sql --db temporal_visibility update-schema -d "$versions/visibility/versioned"
    ;;
  namespace)
    # A server that answers may not take namespaces yet.
    tries=0
    until temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
      temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 168h; do
      tries=$((tries + 1))
      [ "$tries" -lt 30 ] || exit 1
      sleep 2
    done
    ;;
  *)
    echo "usage: setup.sh schema|namespace" >&2
    exit 2
    ;;
esac
