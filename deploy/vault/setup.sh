#!/bin/sh
# Once, after Vault was initialised and unsealed, with its root token in VAULT_TOKEN: engine, audit, policies.
set -eu

vault secrets list -format=json | grep -q '"secret/"' || vault secrets enable -path=secret -version=2 kv
vault audit list -format=json | grep -q '"file/"' || vault audit enable file file_path=stdout
for name in api worker; do
  vault policy write "nbhub-$name" "/vault/policies/$name.hcl"
done
