"""Opens the wrapped secrets of a start. Needs no credential of its own: each token opens one secret, once.

Runs in the hub, as `unwrap`, and by itself in an init container of a server, where nothing of this project is and the
image's Python has to do: `python3 -c TEXT` with an order in the environment variable `NBHUB_SECRETS`. It puts variables
and files where the order says, in memory, for the server's container to find.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

ORDER_VARIABLE = "NBHUB_SECRETS"
PATIENCE_SECONDS = 10
_LARGEST_ANSWER = 4 * 1024 * 1024


class SecretRefused(Exception):
    """A secret that cannot be handed over; the message names no value and no token."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: a token would go with it."""


_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def unwrap(secrets: list[dict[str, Any]], vault: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return variables, and per target the contents of its files: by name, or under the empty name if it is one.

    `secrets` are the signed places of the secrets, each with its `token`. Raises `SecretRefused`.
    """
    variables: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}
    for secret in secrets:
        value = _open(secret, vault)
        if not _fits(secret, value):
            raise SecretRefused(f"the value of the secret {secret['id']} is not of its kind: write it anew")
        if secret["kind"] == "env_var":
            variables[secret["name"]] = value
        elif secret["kind"] == "raw":
            files[secret["target"]] = {"": value}
        else:
            files[secret["target"]] = value if isinstance(value, dict) else {secret["name"]: value}
    return variables, files


def _fits(secret: dict[str, Any], value: Any) -> bool:
    """Whether a value is of its kind, and nothing of it would become a path or an argument of a program."""
    if secret["kind"] == "file" and isinstance(value, dict):
        return bool(value) and all(_names_file(name) and isinstance(text, str) for name, text in value.items())
    if not isinstance(value, str):
        return False
    fitting = {"env_var": "\0" not in value, "raw": True, "file": _names_file(secret["name"])}
    return fitting.get(secret["kind"], False)


def _names_file(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _open(secret: dict[str, Any], vault: str) -> Any:
    try:
        return _opened(secret, vault)
    except SecretRefused as refusal:
        failure = refusal
    except urllib.error.HTTPError as error:
        with error:
            failure = SecretRefused(_words(secret, error.code))
    except OSError as error:
        failure = SecretRefused(f"Vault does not answer ({type(error).__name__}): start the server again")
    except Exception as error:
        failure = SecretRefused(f"Vault does not answer as it should ({type(error).__name__}): start the server again")
    # Not where it was caught: what was caught may quote what was sent or answered, and would hang at this one.
    raise failure


def _opened(secret: dict[str, Any], vault: str) -> Any:
    token = secret["token"]
    # Whoever could put another token here could put another value: what it was made for tells.
    made_for = _ask(f"{vault}/v1/sys/wrapping/lookup", {"token": token}, {})["creation_path"]
    if made_for != secret["path"]:
        raise SecretRefused(f"the token of the secret {secret['id']} is for something else")
    data = _ask(f"{vault}/v1/sys/wrapping/unwrap", {}, {"X-Vault-Token": token})
    if data["metadata"]["version"] != secret["version"]:
        raise SecretRefused(f"the secret {secret['id']} is not the version that was asked for")
    return data["data"]["value"]


def _ask(url: str, body: dict[str, str], headers: dict[str, str]) -> Any:
    request = urllib.request.Request(  # noqa: S310 -- the address is the operator's setting
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", **headers}, method="POST"
    )
    with _opener.open(request, timeout=PATIENCE_SECONDS) as answer:
        return json.loads(answer.read(_LARGEST_ANSWER))["data"]


def _words(secret: dict[str, Any], status: int) -> str:
    if status in (400, 403):
        return f"the token of the secret {secret['id']} was used already or has ended: start the server again"
    if status == 404:
        # A version that was deleted in Vault is wrapped like any other.
        return f"Vault has no such version of the secret {secret['id']} any more: write it anew"
    return f"Vault answers {status}: start the server again when it is back"


def _place(directory: str, variables: dict[str, str], files: dict[str, dict[str, str]]) -> None:
    """Write what was opened below a directory in memory: `env/variables.json`, and a place to each target."""
    os.mkdir(os.path.join(directory, "env"))
    _write(os.path.join(directory, "env", "variables.json"), json.dumps(variables))
    for number, contents in enumerate(files.values()):
        place = os.path.join(directory, f"files-{number}")
        if "" in contents:
            _write(place, contents[""])
            continue
        os.mkdir(place)
        for name, content in contents.items():
            _write(os.path.join(place, name), content)


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(content)


def main() -> int:
    """Open the secrets of the order in the environment; the exit code tells."""
    order = json.loads(os.environ[ORDER_VARIABLE])
    try:
        _place(order["directory"], *unwrap(order["secrets"], order["vault"]))
    except SecretRefused as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201
        return 1
    except OSError as problem:
        print(f"the secrets cannot be written: {problem.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
