# The API stores the values of secrets and cannot read one back.
path "secret/data/nbhub/*" {
  capabilities = ["create", "update"]
}
