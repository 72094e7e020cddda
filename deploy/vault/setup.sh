#!/bin/sh
# With a token of Vault's administrator in VAULT_TOKEN, after Vault was initialised and unsealed, and again after a
# change of a policy or a secret id: engine, audit log, policies, and the roles with which API and workers log in.
# What is there already stays.
set -eu
here=$(dirname -- "$0")

# Not reached, sealed, or a token that has ended: it says so.
vault token lookup >/dev/null
vault secrets list -format=json | grep -q '"secret/"' || vault secrets enable -path=secret -version=2 kv
# A file in a volume of its own: a container's output goes with the container.
vault audit list -format=json | grep -q '"log/"' || vault audit enable -path=log file file_path=/vault/logs/audit.log
vault auth list -format=json | grep -q '"approle/"' || vault auth enable approle

# keep_role PROCESS FILE: the role nbhub-PROCESS, to which the secret id in FILE belongs, beside others it may have.
keep_role() {
  name=nbhub-$1
  role=auth/approle/role/$name
  secret_id=$(cat -- "$2")
  [ -n "$secret_id" ] || { echo "setup: $2 is empty" >&2; exit 1; }
  vault policy write "$name" "$here/$1.hcl"
  # Periodic: its tokens live as long as they are renewed.
  vault write "$role" token_policies="$name" token_no_default_policy=false token_period=1h
  vault write "$role/role-id" role_id="$name"
  # By standard input: process lists show arguments. What Vault answers to the second would show the secret id.
  known=$(printf %s "$secret_id" | vault write -format=json "$role/secret-id/lookup" secret_id=-)
  [ -n "$known" ] || printf %s "$secret_id" | vault write "$role/custom-secret-id" secret_id=- >/dev/null
}
keep_role api "$API_SECRET_ID_FILE"
keep_role worker "$WORKER_SECRET_ID_FILE"
