"""Vault of a deployment: its set-up, what its policies grant, and that it keeps what it is told."""

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from integrations.vault import Vault
from models.domain.ids import new_id
from models.domain.settings import Settings
from stack import vault_setup
from tests.project import PROJECT
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, Json, environment_of, mounts_of, run


def _policy(name: str) -> dict[str, str]:
    text = (DEPLOY / "vault" / f"{name}.hcl").read_text()
    return dict(re.findall(r'^path "([^"]+)" \{\n(.*?)^\}$', text, re.MULTILINE | re.DOTALL))


def test_policies_grant_no_more_than_needed() -> None:
    api, worker = _policy("api"), _policy("worker")
    capabilities = {
        (who, path): set(re.findall(r'"(\w+)"', body.split("[")[1].split("]")[0]))
        for who, policy in (("api", api), ("worker", worker))
        for path, body in policy.items()
    }

    assert capabilities == {
        ("api", "secret/data/secrets/+"): {"create", "update"},
        ("worker", "secret/data/secrets/+"): {"read"},
        ("worker", "secret/metadata/secrets/+"): {"delete"},
        ("worker", "secret/metadata/secrets"): {"list"},
        ("worker", "auth/token/revoke"): {"update"},
    }


@pytest.mark.parametrize("service", ["api", "worker"])
def test_policies_are_about_where_the_values_are(service: str, made: Path) -> None:
    settings = Settings.from_environment(environment_of(service, made))
    path = Vault.from_settings(settings).path(new_id())

    assert any(fnmatch.fnmatch(path, allowed.replace("+", "*")) for allowed in _policy(service))
    assert f"-path={settings.vault_engine} " in (DEPLOY / "vault" / "setup.sh").read_text()


def test_what_workers_wrap_lives_long_enough_and_no_longer(made: Path) -> None:
    body = _policy("worker")["secret/data/secrets/+"]
    least, most = (re.search(rf'{which}_wrapping_ttl = "(\d+)([sm])"', body) for which in ("min", "max"))
    assert least is not None
    assert most is not None

    # Without a least time a plain read would be answered.
    assert least.groups() == ("1", "s")
    for who in ("hub", "container"):
        environment = environment_of("worker", made) | {"NBHUB_SECRETS_UNWRAPPED_BY": who}
        wanted = Settings.from_environment(environment).wrapping_seconds
        assert most[2] == "m"
        assert wanted <= int(most[1]) * 60


# Keeps what `vault` is told in a file, and every call with it; answers as Vault does. The real one was tried with the
# same script: deploy/README.md says how.
STAND_IN = """\
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("state.json")
state = json.loads(file.read_text()) if file.exists() else {"enabled": [], "written": {}, "ids": [], "calls": []}
words = sys.argv[1:]
plain = [word for word in words if not word.startswith("-")]
state["calls"].append(words)
if plain[1:] == ["list"]:
    print(json.dumps({one: {} for one in state["enabled"]}))
elif plain[1] == "enable":
    name = next((word.removeprefix("-path=") for word in words if word.startswith("-path=")), plain[2]) + "/"
    assert name not in state["enabled"], "path is already in use"
    state["enabled"].append(name)
elif plain[0] == "write":
    given = {}
    for word in plain[2:]:
        name, _, value = word.partition("=")
        given[name] = sys.stdin.read() if value == "-" else value
    role, _, what = plain[1].rpartition("/")
    if what == "lookup":
        if [role, given["secret_id"]] in state["ids"]:
            print("{}")
    elif what == "custom-secret-id":
        assert [f"{role}/secret-id", given["secret_id"]] not in state["ids"], "already registered"
        state["ids"].append([f"{role}/secret-id", given["secret_id"]])
        print("secret_id", given["secret_id"])
    else:
        state["written"][plain[1]] = given
elif plain[:2] == ["policy", "write"]:
    state["written"]["sys/policies/acl/" + plain[2]] = {"policy": pathlib.Path(plain[3]).read_text()}
else:
    assert plain == ["token", "lookup"], plain
file.write_text(json.dumps(state))
"""


class SetUp:
    """Runs the script against the stand-in."""

    def __init__(self, directory: Path, secrets: Path) -> None:
        self._programs = directory / "programs"
        self._programs.mkdir()
        self.secrets = secrets
        program = self._programs / "vault"
        program.write_text(f"#!{sys.executable} -IS\n{STAND_IN}")
        program.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        service = COMPOSE["services"]["vault-setup"]
        (source,) = [source for source, at in mounts_of(service) if at == "/nbhub"]
        script = service["entrypoint"][1].replace("/nbhub", str(PROJECT / source))
        environment = environment_of("vault-setup", self.secrets) | {"VAULT_TOKEN": "root"}
        return run("sh", script, **environment | {"PATH": f"{self._programs}:{os.environ['PATH']}"})

    @property
    def state(self) -> Json:
        return dict(json.loads((self._programs / "state.json").read_text()))

    def secret_id(self, process: str) -> str:
        return (self.secrets / f"vault-{process}-secret-id").read_text().strip()


@pytest.fixture(scope="module")
def vault_done(made: Path, tmp_path_factory: pytest.TempPathFactory) -> SetUp:
    """Vault, set up once."""
    set_up = SetUp(tmp_path_factory.mktemp("vault"), made)
    done = set_up.run()
    assert done.returncode == 0, done.stderr
    return set_up


def test_vault_is_set_up_once_however_often_one_does_it(vault_done: SetUp) -> None:
    once = vault_done.state

    again = vault_done.run()

    twice = vault_done.state
    assert again.returncode == 0, again.stderr
    assert once["enabled"] == ["secret/", "log/", "approle/"]
    assert once["ids"] == [
        [f"auth/approle/role/nbhub-{process}/secret-id", vault_done.secret_id(process)] for process in ("api", "worker")
    ]
    assert once | {"calls": []} == twice | {"calls": []}
    assert len(twice["calls"]) > len(once["calls"])


def test_no_secret_id_is_shown_while_vault_is_set_up(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)

    done = set_up.run()

    assert len(set_up.state["ids"]) == 2
    for process in ("api", "worker"):
        assert set_up.secret_id(process) not in done.stdout + done.stderr + json.dumps(set_up.state["calls"])


def test_a_new_secret_id_is_registered_beside_the_old_one(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)
    set_up.run()
    before = set_up.state["ids"]
    (own_secrets / "vault-api-secret-id").write_text("another\n")

    assert set_up.run().returncode == 0

    assert set_up.state["ids"] == [*before, ["auth/approle/role/nbhub-api/secret-id", "another"]]


def test_set_up_registers_no_empty_secret_id(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)
    (own_secrets / "vault-api-secret-id").write_text("\n")

    done = set_up.run()

    assert done.returncode != 0
    assert "vault-api-secret-id is empty" in done.stderr
    assert set_up.state["ids"] == []


@pytest.mark.parametrize("process", ["api", "worker"])
async def test_roles_of_the_embedded_stack_are_these(process: str, vault_done: SetUp) -> None:
    name = vault_setup.role_of(process)
    role = f"auth/approle/role/{name}"
    sent: dict[str, Json] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent[request.url.path.removeprefix("/v1/")] = json.loads(request.content)
        # No such secret id yet.
        return httpx.Response(204)

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://vault/v1/") as client:
        await vault_setup.keep_role(client, process, vault_done.secret_id(process))

    state = vault_done.state
    assert [f"{role}/secret-id", sent[f"{role}/custom-secret-id"]["secret_id"]] in state["ids"]
    paths = {f"sys/policies/acl/{name}", role, f"{role}/role-id"}
    assert paths == {path for path in sent if "secret-id" not in path}
    assert paths == {path for path in state["written"] if process in path}
    for path in paths:
        assert _as_words(sent[path]) == state["written"][path]


def _as_words(given: Json) -> dict[str, str]:
    """What is sent as JSON, as one writes it on a command line."""
    listed = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return {
        name: ",".join(str(one).lower() if isinstance(one, bool) else one for one in value)
        for name, value in listed.items()
    }


def test_vault_keeps_what_it_is_told() -> None:
    text = (DEPLOY / "vault" / "config.hcl").read_text()

    assert 'storage "raft"' in text
    assert "vault:/vault/file" in COMPOSE["services"]["vault"]["volumes"]
    assert COMPOSE["services"]["vault"]["command"] == ["server"]
