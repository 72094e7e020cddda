"""HashiCorp's Vault, built from its Go module: what is tried on OpenBao is to hold there as well."""
