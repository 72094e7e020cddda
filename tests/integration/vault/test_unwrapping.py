"""Opening what was wrapped: in the hub, and by itself in an init container, with nothing but Python."""

import asyncio
import inspect
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub import enter
from hub import unwrap as unwrapping
from hub.secrets import MOST_FILES, OpenedSecrets, handed_over, open_all
from hub.unwrap import ORDER_VARIABLE, SecretRefused
from integrations.vault import Value, Vault
from models.domain.ids import new_id
from models.domain.server_spec import SecretMount, WrappedSecret
from tests.integration.vault.conftest import ENGINE, Operator, told
from tests.integration.vault.impostor import Answer, Impostor, answers, http
from tests.specs import make_spec
from tests.stacks import Stack

VALUE = 'the-value-itself\n"quoted" \U0001f511 $HOME'
UNWRAP, ENTER = (inspect.getsource(module) for module in (unwrapping, enter))
USED = "used already or has ended"

Json = dict[str, Any]
Wrap = Callable[..., Awaitable[Json]]


@pytest.fixture(scope="module")
def wrap(api: Vault, worker: Vault) -> Wrap:
    """Makes a secret with a value and a token for it, as an order has them."""

    async def make(value: Value = VALUE, kind: str = "raw", *, seconds: float = 60, **changes: Any) -> Json:
        identity = new_id()
        version = await api.put(identity, value, after=0)
        return {
            "id": str(identity),
            "kind": kind,
            "name": "TOKEN",
            "target": "" if kind == "env_var" else f"/opt/secret/{identity}",
            "path": worker.path(identity),
            "version": version,
            "token": await worker.wrap(identity, version, seconds),
        } | changes

    return make


@pytest.fixture(scope="module")
def opened(vault: Stack) -> Callable[..., Awaitable[OpenedSecrets]]:
    """Opens secrets as the hub does."""

    async def open_them(*secrets: Json) -> OpenedSecrets:
        return await open_all(list(secrets), vault.info.vault)

    return open_them


Opened = Callable[..., Awaitable[OpenedSecrets]]


async def refusal(opening: Awaitable[object], *secrets: Json) -> str:
    """The words of a refusal. They show no value and no token."""
    with pytest.raises(SecretRefused) as caught:
        await opening
    text = told(caught.value)
    assert VALUE.split("\n")[0] not in text
    assert not any(secret["token"] in text for secret in secrets)
    return str(caught.value)


# In the hub


async def test_every_kind_is_opened(wrap: Wrap, opened: Opened) -> None:
    variable, raw = await wrap("one", "env_var"), await wrap("two", "raw")
    single, several = await wrap("three", "file", name="a.pem"), await wrap({"b": "four", "c": "five"}, "file")
    found = await opened(variable, raw, single, several)
    assert found.variables == {"TOKEN": "one"}
    assert found.files == {
        raw["target"]: "two",
        f"{single['target']}/a.pem": "three",
        f"{several['target']}/b": "four",
        f"{several['target']}/c": "five",
    }
    assert sorted(found.values()) == ["five", "four", "one", "three", "two"]
    assert repr(found) == "OpenedSecrets(1 variables, 4 files)"


async def test_a_token_opens_once(wrap: Wrap, opened: Opened) -> None:
    secret = await wrap()
    assert (await opened(secret)).files == {secret["target"]: VALUE}
    words = await refusal(opened(secret), secret)
    assert USED in words
    assert secret["id"] in words


async def test_of_two_at_once_one_has_it(wrap: Wrap, opened: Opened) -> None:
    secret = await wrap()
    outcomes = await asyncio.gather(opened(secret), opened(secret), return_exceptions=True)
    assert sum(isinstance(outcome, OpenedSecrets) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SecretRefused) for outcome in outcomes) == 1


async def test_a_token_ends_with_its_time(wrap: Wrap, opened: Opened, outside: httpx.AsyncClient) -> None:
    secret = await wrap(seconds=1)
    async with asyncio.timeout(20):
        while (await outside.post("sys/wrapping/lookup", json={"token": secret["token"]})).is_success:
            await asyncio.sleep(0.1)
    assert USED in await refusal(opened(secret), secret)


async def test_a_token_ends_when_it_is_revoked(wrap: Wrap, opened: Opened, worker: Vault) -> None:
    secret = await wrap()
    await worker.revoke(secret["token"])
    assert USED in await refusal(opened(secret), secret)


async def test_a_token_of_another_secret_is_refused_and_stays_unused(wrap: Wrap, opened: Opened) -> None:
    mine, other = await wrap("mine"), await wrap("of-another")
    words = await refusal(opened(mine | {"token": other["token"]}), other)
    assert mine["id"] in words
    assert "something else" in words
    # Whoever it is for can open it.
    assert (await opened(other)).files == {other["target"]: "of-another"}


async def test_a_token_of_another_version_is_refused(wrap: Wrap, opened: Opened) -> None:
    secret = await wrap()
    assert "version" in await refusal(opened(secret | {"version": 2}), secret)


async def test_what_a_stranger_wrapped_is_refused(wrap: Wrap, opened: Opened, operator: Operator) -> None:
    """Anybody with any token can wrap anything: it was not made for the secret's path."""
    secret = await wrap()
    body = {"data": {"value": "of a stranger"}, "metadata": {"version": 1}}
    made = await operator.wrapped("POST", "sys/wrapping/wrap", body)
    assert "something else" in await refusal(opened(secret | {"token": made}), secret)


async def test_a_version_that_was_deleted_in_vault(
    wrap: Wrap, opened: Opened, worker: Vault, operator: Operator
) -> None:
    """Vault wraps that it was deleted."""
    secret = await wrap()
    path = f"{ENGINE}/data/secrets/{secret['id']}"
    await operator.ask("DELETE", path)
    wrapped = await operator.wrapped("GET", path)
    words = await refusal(opened(secret | {"token": wrapped}), secret)
    assert "write it anew" in words


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": "b"}, "env_var"),
        ({"a": "b"}, "raw"),
        ("a", "other"),
        (None, "file"),
        (None, "env_var"),
        (7, "raw"),
        (["a"], "file"),
        ({"a": 7}, "file"),
        ({"a": None}, "file"),
        ({}, "file"),
        ("with a \0 in it", "env_var"),
        ({"../x": "b"}, "file"),
        ({"/etc/x": "b"}, "file"),
        ({"..": "b"}, "file"),
        ({".": "b"}, "file"),
        ({"": "b"}, "file"),
        ({"a/b": "b"}, "file"),
        ({"a\0b": "b"}, "file"),
    ],
)
async def test_values_that_are_not_of_their_kind(wrap: Wrap, opened: Opened, value: Any, kind: str) -> None:
    """Not ours to write, and in Vault all the same: nothing of it becomes a path, or an argument of a program."""
    secret = await wrap(value, kind)
    assert secret["id"] in await refusal(opened(secret), secret)


async def test_files_up_to_a_limit(wrap: Wrap, opened: Opened) -> None:
    names = [str(number) for number in range(MOST_FILES)]
    several, one = await wrap(dict.fromkeys(names, "x"), "file"), await wrap("x", "raw")
    assert len((await opened(several)).files) == MOST_FILES
    again = await wrap(dict.fromkeys(names, "x"), "file")
    assert str(MOST_FILES) in await refusal(opened(again, one), one)


async def test_a_hub_that_knows_no_vault() -> None:
    assert "NBHUB_HUB_VAULT_URL" in await refusal(open_all([], ""))


async def test_a_vault_that_is_sealed(wrap: Wrap, opened: Opened, operator: Operator) -> None:
    secret = await wrap()
    await operator.seal()
    try:
        assert "503" in await refusal(opened(secret), secret)
    finally:
        await operator.unseal()
    # It was not used up.
    assert (await opened(secret)).files


WRAPPING = "hvs.the-token-that-hands-over"
SECRET: Json = {
    "id": "a",
    "kind": "raw",
    "name": "x",
    "target": "/opt/secret/a",
    "path": "secret/data/secrets/a",
    "version": 1,
    "token": WRAPPING,
}
LOOKED_UP = answers({"data": {"creation_path": SECRET["path"]}})


def after_lookup(answer: bytes) -> Answer:
    return lambda request: LOOKED_UP if b"/lookup" in request.splitlines()[0] else answer


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_redirects_are_not_followed(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Impostor(answers({"data": {}})) as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        answer = http(status, b"", f"Location: {other.url}/v1/sys/wrapping/unwrap")
        for script in (answer, after_lookup(answer)):
            async with Impostor(script) as impostor:
                assert status[:3] in await refusal(open_all([SECRET], impostor.url), SECRET)
                assert WRAPPING.encode() in impostor.heard[-1]
        assert other.heard == []


HTML = b"<html>the-value-itself</html>"
GARBAGE = {
    "html": http("200 OK", HTML, media_type="text/html"),
    "empty": http("200 OK", b""),
    "null": http("200 OK", b"null"),
    "truncated": http("200 OK", b'{"data": {"data": {"value": "the-value-itself"'),
    "short": http("200 OK", b'{"data": {}}')[:-4],
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nthe-",
    "list": answers(["the-value-itself"]),
    "no-data": answers({"data": None}),
    "text": answers({"data": "the-value-itself"}),
    "no-metadata": answers({"data": {"data": {"value": "the-value-itself"}}}),
    "strange-metadata": answers({"data": {"data": {"value": "the-value-itself"}, "metadata": "the-value-itself"}}),
    "strange-value": answers({"data": {"data": "the-value-itself", "metadata": {"version": 1}}}),
    "deep": http("200 OK", b"[" * 100_000),
    "403": http("403 Forbidden", HTML),
    "404": http("404 Not Found", HTML),
    "429": http("429 Too Many Requests", HTML),
    "500": http("500 Internal Server Error", HTML),
    "502": http("502 Bad Gateway", HTML),
    "not-http": b"SSH-2.0-the-value-itself\r\n",
    "long-line": b"HTTP/1.1 200 OK\r\nX: " + b"the-value-itself" * 10_000 + b"\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_a_refusal_that_tells_nothing(garbage: str) -> None:
    for script in (GARBAGE[garbage], after_lookup(GARBAGE[garbage])):
        async with Impostor(script) as impostor:
            await refusal(open_all([SECRET], impostor.url), SECRET)
            assert len(impostor.heard) == 1 + callable(script)


async def test_a_vault_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwrapping, "PATIENCE_SECONDS", 0.5)
    done = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    begun = time.monotonic()
    await refusal(open_all([SECRET], f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), SECRET)
    assert time.monotonic() - begun < 3
    done.set()
    server.close()
    await server.wait_closed()


async def test_nobody_there() -> None:
    await refusal(open_all([SECRET], "http://127.0.0.1:1"), SECRET)


@pytest.mark.parametrize("token", ["with\r\nX-Other: header", "", "\u20ac", "../../sys/raw", "x" * 10_000])
async def test_tokens_that_cannot_be_any(vault: Stack, wrap: Wrap, token: str) -> None:
    secret = await wrap(token=token)
    await refusal(open_all([secret], vault.info.vault))


# What the hub believes of it


def mount(identity: str = "a", kind: str = "raw", name: str = "x", target: str = "/opt/secret/x") -> SecretMount:
    return SecretMount(id=identity, kind=kind, name=name, target=target, path=f"secret/data/{identity}", version=1)


def tokens(*identities: str) -> list[Json]:
    return [{"id": identity, "token": f"hvs.{identity}"} for identity in identities]


def test_each_place_has_its_token() -> None:
    places = handed_over(
        make_spec(
            secrets=(
                mount("a"),
                mount("b", "env_var", "KEY", ""),
            )
        ),
        tokens("b", "a"),
    )
    assert [(place["id"], place["token"]) for place in places] == [("a", "hvs.a"), ("b", "hvs.b")]
    assert places[1] | {"token": ""} == {
        "id": "b",
        "kind": "env_var",
        "name": "KEY",
        "target": "",
        "path": "secret/data/b",
        "version": 1,
        "token": "",
    }
    assert handed_over(make_spec(), []) == []


def test_a_variable_is_no_file() -> None:
    with pytest.raises(SecretRefused):
        handed_over(make_spec(secrets=(mount("a", "env_var", "KEY", "/opt/secret/a"),)), tokens("a"))


@pytest.mark.parametrize(
    "wrapped",
    [
        [],
        tokens("a"),
        tokens("a", "b", "c"),
        tokens("a", "c"),
        None,
        "hvs.a",
        [["a", "hvs.a"]],
        [{"id": "a"}],
        [{"id": "a", "token": 7}],
        [*tokens("a", "b"), {"id": "a", "token": "hvs.a", "target": "/etc"}],
    ],
)
def test_tokens_that_are_not_those_of_the_spec(wrapped: object) -> None:
    with pytest.raises(SecretRefused) as refused:
        handed_over(
            make_spec(
                secrets=(
                    mount("a"),
                    mount("b"),
                )
            ),
            wrapped,
        )
    assert "hvs." not in str(refused.value)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "/x",
        "/opt",
        "/run",
        "/etc/x",
        "/etc",
        "/home/jovyan/x",
        "/home/x",
        "/opt/datasets",
        "/opt/datasets/x",
        "/opt/groups/x",
        "/opt/modules/modulefiles/x",
        "/opt/nbhub/singleuser.py",
        "/run/nbhub-secrets",
        "/run/nbhub-secrets/variables.json",
        "/usr/bin/x",
        "/bin/sh",
        "/lib/x",
        "/lib64/x",
        "/proc/self/x",
        "/dev/shm/x",
        "/tmp/x",
        "/var/x",
        "/root/x",
        "/sys/x",
        "/boot/x",
        "opt/secret/x",
        "./opt/secret/x",
        "/opt/secret/../../etc/x",
        "/opt/secret/..",
        "/opt/secret/./x",
        "/opt//secret/x",
        "//etc/x",
        "//opt/secret/x",
        "/opt/secret/x/",
        "/opt/secret/x\0--bind",
        "/opt/secret/x\n",
    ],
)
@pytest.mark.parametrize("kind", ["raw", "file", "other"])
def test_places_that_are_not_a_secrets(kind: str, target: str) -> None:
    with pytest.raises(SecretRefused, match="no secret may be put at"):
        handed_over(
            make_spec(
                secrets=(
                    mount("a"),
                    mount("b", kind, target=target),
                )
            ),
            tokens("a", "b"),
        )


@pytest.mark.parametrize(
    "target", ["/opt/secret/x", "/run/secrets/x", "/opt/secret/a/b/c.d", "/opt/datasets2/x", "/srv/x"]
)
def test_places_that_are(target: str) -> None:
    assert handed_over(make_spec(secrets=(mount(target=target),)), tokens("a"))[0]["target"] == target


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "JUPYTERHUB_API_TOKEN", "NBHUB_X", "LMOD_X"),
        *("MODULEPATH", "NODE_OPTIONS", "", "1A", "A B", "A=B", "A\0B", "A\n", "\u00c4", "A-B"),
    ],
)
def test_variables_that_programs_obey(name: str) -> None:
    with pytest.raises(SecretRefused, match="cannot be the variable"):
        handed_over(make_spec(secrets=(mount("a", "env_var", name, ""),)), tokens("a"))


def test_tokens_do_not_show() -> None:
    assert "hvs.a" not in repr(WrappedSecret(id="a", token="hvs.a"))


# By itself


class Container:
    """What the init container and the server of a pod are, as far as secrets go."""

    def __init__(self, directory: Path, vault: str) -> None:
        self.directory = directory
        self._vault = vault
        directory.mkdir()

    async def open(self, *secrets: Json) -> tuple[int, str]:
        """Run the init container; its exit code, and what it said."""
        order = {"vault": self._vault, "directory": str(self.directory), "secrets": list(secrets)}
        # Where it runs there is no such thing as this project.
        command = [sys.executable, "-I", "-c", UNWRAP]
        code, said = await self._run(command, {ORDER_VARIABLE: json.dumps(order)})
        for secret in secrets:
            assert secret["token"] not in " ".join(command)
            assert secret["token"] not in said
        assert VALUE not in said
        return code, said

    async def enter(self, *command: str) -> tuple[int, str]:
        """Run a program of the server; its exit code, and what it said."""
        variables = str(self.directory / "env" / "variables.json")
        return await self._run([sys.executable, "-I", "-c", ENTER, variables, *command], {"OWN": "kept"})

    async def _run(self, command: list[str], environment: dict[str, str]) -> tuple[int, str]:
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            env={"PATH": os.environ["PATH"], **environment},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def container(tmp_path: Path, vault: Stack) -> Container:
    return Container(tmp_path / "nbhub-secrets", vault.info.vault)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_init_container_puts_everything_in_its_place(wrap: Wrap, container: Container) -> None:
    secrets = (
        await wrap(VALUE, "env_var", name="KEY"),
        await wrap(VALUE, "raw"),
        await wrap({"a.pem": VALUE, "b c": "\r\n\0\ufeff"}, "file"),
        await wrap("single", "file", name="c.txt"),
        await wrap("other", "env_var", name="OTHER"),
    )
    assert await container.open(*secrets) == (0, "")
    raw, several, single = (container.directory / f"files-{number}" for number in range(3))
    variables = container.directory / "env" / "variables.json"
    assert json.loads(variables.read_text()) == {"KEY": VALUE, "OTHER": "other"}
    expected = {
        raw: VALUE,
        several / "a.pem": VALUE,
        several / "b c": "\r\n\0\ufeff",
        single / "c.txt": "single",
    }
    for path, content in expected.items():
        assert path.read_bytes() == content.encode()
    found = {path for path in container.directory.rglob("*") if path.is_file()}
    assert found == {variables, *expected}
    assert {mode(path) for path in found} == {0o400}


async def test_the_server_has_the_variables(wrap: Wrap, container: Container) -> None:
    await container.open(await wrap(VALUE, "env_var", name="KEY"), await wrap("", "env_var", name="EMPTY"))
    program = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    code, said = await container.enter(sys.executable, "-I", "-c", program, "one", "two words")
    environment, arguments = json.loads(said)
    assert code == 0
    assert arguments == ["one", "two words"]
    assert environment["KEY"] == VALUE
    assert environment["EMPTY"] == ""
    assert environment["OWN"] == "kept"
    assert ORDER_VARIABLE not in environment


async def test_the_program_takes_the_place_of_what_entered(wrap: Wrap, container: Container) -> None:
    await container.open(await wrap(VALUE, "env_var", name="KEY"))
    code, said = await container.enter("sh", "-c", "tr '\\0' ' ' < /proc/$$/cmdline; exit 7")
    assert code == 7
    assert said.startswith("sh -c"), said


async def test_without_secrets_there_are_no_variables(container: Container) -> None:
    assert await container.open() == (0, "")
    assert json.loads((container.directory / "env" / "variables.json").read_text()) == {}


async def test_a_used_token_ends_the_init_container(wrap: Wrap, container: Container, opened: Opened) -> None:
    fresh, used = await wrap(), await wrap()
    await opened(used)
    code, said = await container.open(fresh, used)
    assert code == 1
    assert said.strip() == f"the token of the secret {used['id']} was used already or has ended: start the server again"
    # All or nothing.
    assert list(container.directory.iterdir()) == []


async def test_a_vault_that_is_away_ends_the_init_container(wrap: Wrap, tmp_path: Path) -> None:
    secret = await wrap()
    code, said = await Container(tmp_path / "nbhub-secrets", "http://127.0.0.1:1").open(secret)
    assert code == 1
    assert said.startswith("Vault does not answer (")
    assert "Traceback" not in said


async def test_a_full_volume_ends_the_init_container(wrap: Wrap, container: Container) -> None:
    secret = await wrap()
    (container.directory / "files-0").mkdir()
    code, said = await container.open(secret)
    assert code == 1
    assert "Traceback" not in said
    assert "cannot be written" in said
