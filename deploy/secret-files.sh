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
