#!/bin/sh
# The last step of the first initialisation, see start.sh.
set -eu
rm -- "${PGDATA%/*/*}/initialisation-unfinished"
sync
