# What make-secrets.sh and rotate-keys.sh have in common; read by them, not run.

# Every container that reads these files runs as this user, and a mounted file keeps its owner.
owner=1000
umask 077

# keep NAME: write standard input to NAME, whole or not at all. Its readers may be running.
keep() {
  cat >"$1.new"
  [ -s "$1.new" ] || { echo "$(basename -- "$0"): $1 came out empty" >&2; exit 1; }
  [ "$(id -u)" -ne 0 ] || chown "$owner:$owner" "$1.new"
  mv -- "$1.new" "$1"
}

fernet_key() { openssl rand -base64 32 | tr '+/' '-_'; }

# spec_key ID: a new key pair for what JupyterHub may start; workers use it when they are started the next time.
spec_key() {
  openssl genpkey -algorithm ed25519 | keep "spec-signing-keys/$1.pem"
  public_spec_key "$1"
  # Last: JupyterHub knows the key before anybody signs with it.
  echo "$1" | keep spec-signing-keys/current
}
public_spec_key() { openssl pkey -in "spec-signing-keys/$1.pem" -pubout | keep "spec-keys/$1.pem"; }

# temporal_certificates: Temporal's and its clients', and by whom to know them. The key that vouches for them is not kept:
# when they are needed anew, all are made anew.
temporal_certificates() {
  made=$(mktemp -d)
  trap 'rm -rf -- "$made"' EXIT
  new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650"
  $new -subj "/CN=Notebooks Hub, Temporal" -addext keyUsage=critical,keyCertSign -keyout "$made/ca-key" -out "$made/ca-cert"
  for who in server client; do
    # The server is a client of itself.
    [ "$who" = client ] && use=clientAuth || use=serverAuth,clientAuth
    $new -CA "$made/ca-cert" -CAkey "$made/ca-key" -subj "/CN=temporal-$who" -addext basicConstraints=critical,CA:FALSE \
      -addext subjectAltName=DNS:temporal -addext "extendedKeyUsage=$use" -keyout "$made/$who-key" -out "$made/$who-cert"
  done
  for one in ca-cert server-cert server-key client-cert client-key; do
    keep "temporal-$one" <"$made/$one"
  done
}

# own: nobody else may read what is in this directory.
own() {
  chmod -R u=rwX,go= .
  if [ "$(id -u)" -eq 0 ]; then
    chown -R "$owner:$owner" .
  elif [ "$(id -u)" -ne "$owner" ]; then
    echo "$(basename -- "$0"): the containers run as user $owner and cannot read these files:" \
      "sudo chown -R $owner:$owner $(pwd)" >&2
  fi
}
