# Workers hand values to servers without seeing them: a read is answered only in a wrapper that opens once.
path "secret/data/secrets/+" {
  capabilities     = ["read"]
  min_wrapping_ttl = "1s"
  max_wrapping_ttl = "30m"
}

# Deleting the metadata removes every version; listing finds what no record names any more.
path "secret/metadata/secrets/+" {
  capabilities = ["delete"]
}
path "secret/metadata/secrets" {
  capabilities = ["list"]
}

# An unused wrapper of a start that failed. Only who holds a token can revoke it here.
path "auth/token/revoke" {
  capabilities = ["update"]
}
