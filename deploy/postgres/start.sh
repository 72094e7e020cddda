#!/bin/sh
# Starts PostgreSQL. A first initialisation that was cut off is begun again: the image takes whatever is in its directory
# for a whole database, which would then lack the roles of init.sql for ever.
set -eu
# Is there from before the first initialisation until initialised.sh, the last step of it, has removed it.
# In the volume, which is two directories above that of the data.
unfinished=${PGDATA%/*/*}/initialisation-unfinished

if [ -e "$unfinished" ]; then
  echo "start: the first initialisation was cut off; beginning again" >&2
  rm -rf -- "${PGDATA:?}"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : >"$unfinished"
  sync
fi

exec docker-entrypoint.sh "$@"
