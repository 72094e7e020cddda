# The API stores the values of secrets and cannot read one back. `+` is one name: behind `*`, `..` would lead elsewhere.
path "secret/data/secrets/+" {
  capabilities = ["create", "update"]
}
