# A single node with integrated storage. TLS ends here in real production: see deploy/README.md.
storage "raft" {
  path    = "/vault/file"
  node_id = "vault"
}

listener "tcp" {
  address = "0.0.0.0:8200"
  # Of nodes among each other, and this is the only one: not for whoever else is in its network.
  cluster_address = "127.0.0.1:8201"
  tls_disable     = true
}

api_addr     = "http://vault:8200"
cluster_addr = "http://vault:8201"

# Raft maps its file into memory, which must not be locked; the host's swap has to be off or encrypted.
disable_mlock = true
ui            = false
