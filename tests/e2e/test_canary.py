"""The value of a secret goes through everything that can be done with it, and is then looked for everywhere.

It may be in Vault's storage and inside of the servers that were given it, and nowhere else.
"""

import asyncio
import base64
import binascii
import contextlib
import gzip
import hashlib
import html
import io
import json
import logging
import re
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import pytest
from cryptography.fernet import Fernet
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client

from stack.notebook import Notebook
from tests.e2e.canary import (
    CHUNK,
    Answers,
    Canaries,
    Find,
    Histories,
    Watch,
    encodings,
    fernet_opener,
    flush_postgres,
)
from tests.e2e.people import ENDED, Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack
from workflows.plugin import plugin

NAMES = ("alice", "bob")
SPOKEN = {"LONG": 10_000, "SPOKEN": 0, "ESCAPED": 0}
# What a look at the stack looks at.
KINDS = ("files", "temporary files", "rows", "histories")
# Where programs of the stack could put something beside its directory.
BESIDE = ("/tmp", "/var/tmp", "/dev/shm", "/var/log")
HISTORIES = (".bash_history", ".python_history", ".psql_history", ".sqlite_history", ".node_repl_history")
VARIABLE, RAW, ONE_FILE, FILES = "CANARY", "/opt/secret/canary/raw", "/opt/secret/canary/one", "/opt/secret/canary/more"
# What a server has at a place, `$` before the name of a variable, by digests: no value comes out.
LOOK_INSIDE = """
import hashlib, json, os
def content(place):
    if place.startswith("$"):
        return os.environb[place[1:].encode()]
    with open(place, "rb") as file:
        return file.read()
print(json.dumps({{place: hashlib.sha256(content(place)).hexdigest() for place in {places!r}}}))
"""
# What a program of a server says before it fails: of one variable more than JupyterHub reads of a log, of another the
# value as it is, of the third what Python and JSON make of it.
SAYS = """
print(repr(os.environ["LONG"]), file=log)
print("it begins", file=log)
print(os.environ["SPOKEN"], file=log)
print("value: " + os.environ["SPOKEN"], file=log)
print([os.environ["ESCAPED"]], file=log)
print(json.dumps(os.environ["ESCAPED"]), file=log)
try:
    raise KeyError(os.environ["ESCAPED"])
except KeyError:
    traceback.print_exc(file=log)
"""
IMPORTS = "import json, os, pathlib, sys, traceback"
# Voilà runs it when it starts for a notebook of that home.
CONFIGURATION = "pathlib.Path.home() / '.jupyter' / 'voila.py'"
WRITES = f"""{IMPORTS}
empty = {{"cells": [], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}
pathlib.Path("speaks.ipynb").write_text(json.dumps(empty))
file = {CONFIGURATION}
file.parent.mkdir(exist_ok=True)
file.write_text({f"{IMPORTS}; log = sys.stderr{SAYS}sys.exit(3)"!r})
"""
UNWRITES = f"{IMPORTS}; ({CONFIGURATION}).unlink()"
# A kernel's own output is not the server's.
SPEAKS = f"""{IMPORTS}
with open("/proc/1/fd/2", "a") as log:
{SAYS.replace(chr(10), chr(10) + "    ")}
"""


class Story:
    """Alice's secrets, the servers that are given them, and what was found after each chapter."""

    def __init__(self, stack: Stack, alice: Member, bob: Member) -> None:
        self.stack, self.alice, self.bob = stack, alice, bob
        self.canaries = Canaries()
        self.answers = Answers()
        self.watch = Watch(self.canaries)
        self.began = time.time()
        self.secrets: dict[str, Json] = {}
        self.places: dict[str, str] = {}
        """What a server has to have at a place."""
        self.template: Json = {}
        self.servers: dict[str, Json] = {}
        self.speakers: list[Json] = []
        """Whose programs said what they were given."""
        self.found: dict[str, set[Find]] = {kind: set() for kind in KINDS}
        self.decrypted: list[bytes] = []

    # Writing

    async def write_each_type(self) -> None:
        value = self.canaries.value
        mine = {"variable": value("variable"), "raw": value("raw"), "one": value("one")}
        more = {name: value(name) for name in ("more-a.txt", "more-b.pem")}
        key = {"Idempotency-Key": str(uuid4())}
        variable = {"secretName": VARIABLE, "type": "env_var", "value": mine["variable"]}
        self.secrets["variable"] = await self.alice.call("POST", "/secrets", json=variable, headers=key)
        again = await self.alice.call("POST", "/secrets", json=variable, headers=key)
        assert again == self.secrets["variable"]
        other = variable | {"value": value("another body for the same key")}
        await self.alice.call("POST", "/secrets", json=other, headers=key, expect=422)
        others: dict[str, Json] = {
            "raw": {"type": "raw", "mount_path": RAW, "value": mine["raw"]},
            "one": {"type": "file", "mount_path": ONE_FILE, "value": mine["one"]},
            "more": {"type": "file", "mount_path": FILES, "value": more},
        }
        for name, fields in others.items():
            self.secrets[name] = await self.alice.call("POST", "/secrets", json={"secretName": name, **fields})
        self.places = {
            f"${VARIABLE}": mine["variable"],
            RAW: mine["raw"],
            f"{ONE_FILE}/one": mine["one"],
            **{f"{FILES}/{name}": content for name, content in more.items()},
        }

    async def write_what_is_refused(self) -> None:
        good: Json = {"secretName": "refused", "type": "file"}
        value = self.canaries.value
        refused: dict[str, Json] = {
            "no name of a variable": {"secretName": "1 bad", "type": "env_var"},
            "an obeyed variable": {"secretName": "LD_PRELOAD", "type": "env_var"},
            "a bad mount path": {"mount_path": "/etc/passwd"},
            "a foreign owner": {"owner": self.bob.email},
            "a type that there is not": {"type": "keyring"},
            "no name": {"secretName": None},
            "too large a variable": {
                "secretName": "LARGE",
                "type": "env_var",
                "value": value("large variable", 70_000),
            },
            "too large a file": {"value": value("large file", 300_000)},
            "files that are too large together": {
                "value": {name: value(f"large file {name}", 150_000) for name in ("first", "second")}
            },
            "an unknown field": {"passphrase": value("unknown field")},
            "a list": {"value": [value("in a list")]},
            "a list in an object": {"value": {"key": [value("in a list in an object")]}},
            "an object in an object": {"value": {"key": {"key": value("in an object in an object")}}},
            "an object for one file": {"type": "raw", "value": {"key": value("in an object for one file")}},
            "no name of a file": {"value": {"../key": value("in a file of no name")}},
        }
        for flow, fields in refused.items():
            body = {**good, **fields}
            if "value" not in body:
                body["value"] = value(flow)
            answer = await self.alice.api.post("/secrets", json=body)
            assert answer.status_code in (403, 422), (flow, answer.status_code)
        twice, malformed, foreign = (
            json.dumps(value(flow)) for flow in ("a member twice", "no JSON", "another media type")
        )
        for content, media_type, status in (
            (f'{{"value": {twice}, "value": {twice}}}', "application/json", 422),
            (f'{{"value": {malformed}, "value}}', "application/json", 400),
            (f'{{"value": {foreign}}}', "text/plain", 415),
        ):
            answer = await self.alice.api.post("/secrets", content=content, headers={"Content-Type": media_type})
            assert answer.status_code == status
        huge = good | {"value": value("larger than any body", 1_100_000)}
        await self.alice.call("POST", "/secrets", json=huge, expect=413)
        unknown = {"Authorization": f"Bearer {uuid4()}"}
        body = good | {"value": value("nobody's")}
        await self.alice.call("POST", "/secrets", json=body, headers=unknown, expect=401)

    async def change(self) -> None:
        path = f"/secret/{self.secrets['raw']['_id']}"
        value = self.canaries.value
        stale = (await self.alice.api.get(path)).headers["ETag"]
        patched = {"value": value("patched")}
        changed = await self.alice.call("PATCH", path, json=patched, headers={"If-Match": stale})
        assert changed["version"] == 2
        self.places[RAW] = patched["value"]
        late = {"value": value("patched with a stale tag")}
        await self.alice.call("PATCH", path, json=late, headers={"If-Match": stale}, expect=412)
        await self.bob.call("PATCH", path, json={"value": value("patched by a stranger")}, expect=404)
        wrong = {"value": {"key": value("patched with an object")}}
        await self.alice.call("PATCH", path, json=wrong, expect=422)
        await self.share("raw")
        await self.bob.call("PATCH", path, json={"value": value("patched by a reader")}, expect=403)

    async def write_without_vault(self) -> None:
        path = f"/secret/{self.secrets['one']['_id']}"
        made = {"secretName": "late", "type": "raw", "value": self.canaries.value("Vault is away")}
        patched = {"value": self.canaries.value("patched while Vault is away")}
        key = {"Idempotency-Key": str(uuid4())}
        await self.stack.stop_part("vault")
        await self.alice.call("POST", "/secrets", json=made, headers=key, expect=503)
        await self.alice.call("PATCH", path, json=patched, expect=503)
        await self.stack.start_part("vault")
        self.secrets["late"] = await self.alice.call("POST", "/secrets", json=made, headers=key)
        await self.alice.call("PATCH", path, json=patched)
        self.places[f"{ONE_FILE}/one"] = patched["value"]

    async def write_as_the_api_dies(self) -> None:
        made = {"secretName": "twice", "type": "raw", "value": self.canaries.value("the API dies")}
        key = {"Idempotency-Key": str(uuid4())}
        self.stack.arm("api.committed")
        with pytest.raises(httpx.TransportError):
            await self.alice.api.post("/secrets", json=made, headers=key)
        await self.stack.died("api")
        await self.stack.start_part("api")
        self.secrets["twice"] = await self.alice.call("POST", "/secrets", json=made, headers=key)

    async def share(self, *names: str) -> None:
        who = {"relation": "read", "userArray": [self.bob.email]}
        for name in names:
            path = f"/secret/share/{self.secrets[name]['_id']}"
            await self.alice.succeeded(await self.alice.call("POST", path, json=who, expect=202))

    # Servers

    async def start(self) -> None:
        """The owner's and the recipient's server, from one public template."""
        await self.share("variable", "one", "more")
        for name, filler in SPOKEN.items():
            body = {"secretName": name, "type": "env_var", "value": self.canaries.value(name, filler)}
            self.secrets[name] = await self.alice.call("POST", "/secrets", json=body)
            self.places[f"${name}"] = body["value"]
            await self.share(name)
        given = [self.secrets[name]["_id"] for name in ("variable", "raw", "one", "more", *SPOKEN)]
        self.template = await self.alice.make_template(name="Canary", public=True, secrets=given)
        await asyncio.gather(*(self._start(person, name) for person, name in zip(self.people, NAMES, strict=True)))

    async def _start(self, person: Member, name: str) -> None:
        server = self.servers[name] = await person.launch(self.template["_id"])
        await person.succeeded(await person.wish(server, "start"))
        await self.see_inside(person, server)

    @property
    def people(self) -> tuple[Member, Member]:
        return self.alice, self.bob

    async def see_inside(self, person: Member, server: Json) -> None:
        """The values have gone through: a kernel has each of them."""
        seen = json.loads(await self.run(person, server, LOOK_INSIDE.format(places=list(self.places))))
        assert seen == {place: hashlib.sha256(value.encode()).hexdigest() for place, value in self.places.items()}

    async def run(self, person: Member, server: Json, code: str) -> str:
        """What some code prints in a kernel of somebody's server."""
        async with Notebook(server["url"], await self.stack.hub_token(person.email)) as notebook:
            return await notebook.run(code)

    async def restart(self) -> None:
        server = self.servers["alice"]
        patched = {"value": self.canaries.value("patched for a restart")}
        await self.alice.call("PATCH", f"/secret/{self.secrets['variable']['_id']}", json=patched)
        self.places[f"${VARIABLE}"] = patched["value"]
        stop = await self.alice.wish(server, "stop")
        start = await self.alice.wish(server, "start")
        await self.alice.succeeded(stop)
        await self.alice.succeeded(start)
        await self.see_inside(self.alice, server)

    async def start_as_the_worker_dies(self) -> None:
        server = await self.launched("the worker dies")
        self.stack.arm("spawn_server.effect")
        start = await self.alice.wish(server, "start")
        await self.stack.died("worker")
        await self.stack.start_part("worker")
        await self.alice.succeeded(start, within=120)
        await self.see_inside(self.alice, server)

    async def start_while_vault_is_away(self) -> None:
        server = await self.launched("Vault is away")
        await self.stack.stop_part("vault")
        start = await self.alice.wish(server, "start")

        async def look() -> Json:
            found: Json = await self.alice.call("GET", f"/operations/{start['_id']}")
            return found

        await until(look, lambda seen: "next_try_at" in str(seen["steps"]), within=30, what="the start waits")
        await self.stack.start_part("vault")
        await self.alice.succeeded(start)
        await self.see_inside(self.alice, server)

    async def launched(self, name: str) -> Json:
        self.servers[name] = await self.alice.launch(self.template["_id"])
        return self.servers[name]

    # Starts that fail

    async def fail(self) -> None:
        """Three starts at once: of what is not there, of what is killed, and of what fails by itself."""
        await self.run(self.alice, self.servers["alice"], WRITES)
        await asyncio.gather(self.start_what_is_not_there(), self.start_what_is_killed(), self.start_what_speaks())
        await self.run(self.alice, self.servers["alice"], UNWRITES)

    async def start_what_is_not_there(self) -> None:
        fields = {"applicationType": "streamlit", "filePath": "no-such-app.py"}
        server = await self.alice.make_server(secrets=self.template["secrets"], **fields)
        self.servers["no file"] = server
        await self.fails(await self.alice.wish(server, "start"), "does not exist")

    async def start_what_is_killed(self) -> None:
        server = self.servers["killed"] = await self.alice.make_server(secrets=[self.secrets["raw"]["_id"]])
        start = await self.alice.wish(server, "start")
        killed = 0

        async def look() -> Json:
            nonlocal killed
            # More than once: a sandbox that was just being made may outlive its first process.
            for process in processes_of(server):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                    killed += 1
            found: Json = await self.alice.call("GET", f"/operations/{start['_id']}")
            return found

        await until(look, lambda seen: seen["status"] in ENDED, within=90, what="the start ends")
        assert killed
        await self.fails(start, "ended while it was starting")

    async def start_what_speaks(self) -> None:
        fields = {"applicationType": "voila", "filePath": "speaks.ipynb"}
        server = await self.alice.make_server(secrets=self.template["secrets"], **fields)
        self.servers["speaks"] = server
        self.speakers.append(server)
        await self.fails(await self.alice.wish(server, "start"), "exit code 3")

    async def end_what_spoke_to_another_jupyterhub(self) -> None:
        """A JupyterHub that did not start the server itself tells how it ended."""
        server = self.servers["alice"]
        self.speakers.append(server)
        await self.run(self.alice, server, SPEAKS)
        self.stack.kill("jupyterhub")
        await self.stack.start_part("jupyterhub")
        for process in processes_of(server):
            process.kill()
        await self.alice.becomes(server, "stopped")
        note = self.stack.layout.hub_data / "failures" / f"{server['_id']}.json"

        async def look() -> bool:
            return note.exists()

        await until(look, bool, within=30, what="JupyterHub notes how it ended")

    async def start_when_vault_was_sealed(self) -> None:
        server = await self.launched("sealed")
        async with self.vault() as vault, self.order_held_up(server, vault) as (start, _):
            (await vault.put("sys/seal")).raise_for_status()
        await self.fails(start, "Vault answers 503")
        await self.stack.start_part("vault")

    async def start_when_the_tokens_are_spent(self) -> None:
        server = await self.launched("spent")
        async with self.vault() as vault, self.order_held_up(server, vault) as (start, tokens):
            for lease in tokens:
                (await vault.put("sys/leases/revoke", json={"lease_id": lease, "sync": True})).raise_for_status()
        await self.fails(start, "was used already")

    @contextlib.asynccontextmanager
    async def order_held_up(self, server: Json, vault: httpx.AsyncClient) -> AsyncIterator[tuple[Json, set[str]]]:
        """A start whose tokens were made, and whose order waits for a JupyterHub that stands still."""
        before = await self.wrappers(vault)
        start = await self._claiming(server)
        self.stack.freeze("jupyterhub")
        self.stack.thaw("vault")
        try:
            wanted = len(self.template["secrets"])
            tokens = await until(
                lambda: self.wrappers(vault), lambda all: len(all - before) >= wanted, within=30, what="tokens are made"
            )
            yield start, tokens - before
        finally:
            self.stack.thaw("jupyterhub")

    async def _claiming(self, server: Json) -> Json:
        """A start that waits for a Vault that stands still."""
        connection = await asyncpg.connect(self.stack.info.database)
        self.stack.freeze("vault")
        try:
            start = await self.alice.wish(server, "start")
            # Written when JupyterHub was looked at, before Vault is asked.
            await until(
                lambda: connection.fetchval("SELECT count(*) FROM server_mount WHERE server = $1", server["_id"]),
                bool,
                within=30,
                what="the start claims its secrets",
            )
        except BaseException:
            self.stack.thaw("vault")
            raise
        finally:
            await connection.close()
        return start

    @contextlib.asynccontextmanager
    async def vault(self) -> AsyncIterator[httpx.AsyncClient]:
        """Vault as its operator."""
        keys = msgspec.json.decode((self.stack.directory / "vault" / "keys.json").read_bytes())
        headers = {"X-Vault-Token": keys["root_token"]}
        async with httpx.AsyncClient(base_url=f"{self.stack.info.vault}/v1/", headers=headers, timeout=15) as client:
            yield client

    async def wrappers(self, vault: httpx.AsyncClient) -> set[str]:
        """The leases of the tokens that hand a secret over and were not used yet.

        Vault removes a token that is looked up before it has its lease, so who asks for the tokens may be their end.
        """
        found = set()
        for secret in self.template["secrets"]:
            path = f"secret/data/secrets/{secret}/"
            answer = await vault.request("LIST", f"sys/leases/lookup/{path}")
            # Of no lease at all Vault says that there is nothing.
            found |= {path + key for key in answer.json()["data"]["keys"]} if answer.status_code != 404 else set()
        return found

    async def fails(self, start: Json, why: str) -> None:
        ended = await self.alice.ended(start)
        assert ended["status"] == "failed", ended
        assert why in ended["error"]["message"], ended["error"]

    # The end

    async def revoke(self) -> None:
        who = {"relation": "read", "userArray": [self.bob.email]}
        path = f"/secret/{self.secrets['raw']['_id']}/revoke"
        await self.alice.succeeded(await self.alice.call("POST", path, json=who, expect=202))
        server = self.servers["bob"]
        assert processes_of(server) == []
        start = await self.bob.succeeded(await self.bob.wish(server, "start"))
        assert [one["_id"] for one in start["left_out"]] == [self.secrets["raw"]["_id"]]
        await self.bob.succeeded(await self.bob.wish(server, "stop"))

    async def delete(self) -> None:
        async def gone(name: str, server: Json) -> None:
            person = self.bob if name == "bob" else self.alice
            await person.succeeded(await person.delete(server))

        await asyncio.gather(*(gone(name, server) for name, server in self.servers.items()))
        await self.alice.call("DELETE", "/template", params={"id": self.template["_id"]}, expect=204)
        for secret in self.secrets.values():
            await self.alice.call("DELETE", f"/secret/{secret['_id']}", expect=204, headers={"Prefer": "wait=60"})

    # Looking

    async def ask_for_everything(self) -> None:
        """Whatever anybody is told about all this."""
        for person in self.people:
            for path in ("/secrets", "/servers", "/templates", "/operations", "/schema/openapi.json", "/healthcheck"):
                await person.call("GET", path)
            for operation in await person.call("GET", "/operations", params={"limit": "100"}):
                await person.call("GET", f"/operations/{operation['_id']}")
                await person.api.get(f"/operations/{operation['_id']}/events")
            for server in await person.call("GET", "/servers"):
                await person.see(server)
        headers = {"Authorization": f"token {self.stack.secrets.worker_token}"}
        async with httpx.AsyncClient(base_url=self.stack.info.jupyterhub, headers=headers, timeout=30) as hub:
            with self.answers.of(hub):
                users = await hub.get("/hub/api/users", params={"include_stopped_servers": "1"})
                assert "wrapped_secrets" in users.text
                told = ""
                for server in self.servers.values():
                    for generation in range(1, 8):
                        path = f"/services/nbhub-truth/failure/{server['_id']}"
                        told += (await hub.get(path, params={"generation": str(generation)})).text
                assert "The server ended while it was starting" in told
                assert "The server ended by itself" in told

    async def look(self) -> None:
        stack, canaries = self.stack, self.canaries
        keys = [pair.partition(":")[2] for pair in stack.secrets.payload_keys.split(",")]
        opener = fernet_opener(keys, self.decrypted)
        await flush_postgres(stack.layout.database_url("postgres"))
        self.found["files"] |= await asyncio.to_thread(
            canaries.find_in_tree, stack.directory, skip={stack.directory / "vault" / "raft"}, opener=opener
        )
        self.found["temporary files"] |= await asyncio.to_thread(self._look_beside)
        self.found["rows"] |= await canaries.find_in_postgres(stack.layout.database_url)
        client = await Client.connect(stack.info.temporal, plugins=[plugin(stack.secrets.payload_keys)])
        histories = await canaries.find_in_histories(client)
        self.found["histories"] |= histories.found
        assert histories.decrypted

    def _look_beside(self) -> set[Find]:
        found = set()
        for place in map(Path, BESIDE):
            others = {*place.glob("pytest-of-*"), self.stack.directory}
            found |= self.canaries.find_in_tree(place, skip=others, since=self.began)
        for name in HISTORIES:
            if (Path.home() / name).exists():
                found |= self.canaries.find_in_file(Path.home() / name)
        return found


@pytest.fixture(scope="module")
async def story(stack: Stack, alice: Member, bob: Member) -> Story:
    """The whole story, told."""
    story = Story(stack, alice, bob)
    with story.watch, story.answers.of(alice.api, bob.api):
        for chapter in (
            story.write_each_type,
            story.write_what_is_refused,
            story.change,
            story.write_without_vault,
            story.write_as_the_api_dies,
            story.start,
            story.restart,
            story.start_as_the_worker_dies,
            story.start_while_vault_is_away,
            story.fail,
            story.start_when_vault_was_sealed,
            story.start_when_the_tokens_are_spent,
            story.look,
            story.revoke,
            story.end_what_spoke_to_another_jupyterhub,
            story.ask_for_everything,
            story.look,
            story.delete,
            story.look,
        ):
            await chapter()
    return story


def told(finds: set[Find]) -> str:
    """Where something was found, a line to each."""
    return "\n".join(f"{find.flows} in {find.place}, {find.form}" for find in sorted(finds))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_value_is_kept(story: Story, kind: str) -> None:
    logs = {str(story.stack.layout.hub_data / "logs" / f"{server['_id']}.log") for server in story.speakers}
    spoken = {find for find in story.found[kind] if find.place in logs and set(find.flows.split(", ")) <= SPOKEN.keys()}
    # What a program says is its owner's, as a file in the home is; nobody else is shown it.
    assert {find.place for find in spoken} == (logs if kind == "files" else set())
    left = story.found[kind] - spoken
    assert not left, told(left)
    # What is encrypted was looked at too.
    assert story.decrypted


async def test_no_answer_has_a_value(story: Story) -> None:
    assert {200, 202, 204, 400, 401, 403, 404, 412, 413, 415, 422, 503} <= {one[0] for one in story.answers.recorded}
    found = story.answers.find(story.canaries)
    assert not found, told(found)


async def test_no_process_shows_a_value(story: Story) -> None:
    assert not story.watch.found, told(story.watch.found)
    # It looked often enough to see a launcher, which lives for a moment, and saw what is inside of servers.
    assert story.watch.saw(b"hub.launch")
    assert story.watch.saw(b"bwrap")
    assert {"variable", "SPOKEN"} <= {flow for find in story.watch.inside for flow in find.flows.split(", ")}


# What is planted is found


class Planted:
    """One value, planted by those who write such things, and removed in the end."""

    def __init__(self) -> None:
        self.canaries = Canaries()
        self.value = self.canaries.value("planted")

    def proven(self, found: set[Find], places: Iterable[object]) -> None:
        """Fails with the places where it was planted and not found."""
        assert [str(place) for place in places if not any(str(place) in find.place for find in found)] == []


@pytest.fixture
def planted() -> Planted:
    return Planted()


def written(text: str) -> Iterator[tuple[str, bytes]]:
    """A text as programs write it."""
    data = text.encode()
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.emit(logging.LogRecord("log", logging.INFO, "", 1, "the value is %s", (text,), None))
    yield "log", lines.getvalue().encode()
    yield "json", json.dumps({"value": text}, ensure_ascii=False).encode()
    yield "json-ascii", json.dumps([text]).encode()
    yield "json-ascii-upper", re.sub(r"\\u....", lambda found: f"\\u{found[0][2:].upper()}", json.dumps(text)).encode()
    yield "json-json", json.dumps({"body": json.dumps({"value": text})}).encode()
    yield "msgspec", msgspec.json.encode({"value": text})
    yield "repr", repr({"value": text}).encode()
    yield "bytes", repr([data]).encode()
    yield "hex", b"\\x" + binascii.hexlify(data)
    yield "hex-upper", binascii.hexlify(data).upper()
    yield "percent", urllib.parse.quote(text).encode()
    yield "form", urllib.parse.urlencode({"value": text}).encode()
    yield "html", f"<p title='{html.escape(text)}'>".encode()
    yield "utf-16", text.encode("utf-16")
    yield "utf-16-be", f"value={text}".encode("utf-16-be")
    for before in range(3):
        around = b"u" * before + data + b";"
        yield f"base64-{before}", base64.b64encode(around)
        yield f"base64-url-{before}", base64.urlsafe_b64encode(around)
    yield "gzip", gzip.compress(b"first") + gzip.compress(data)
    yield "zlib", zlib.compress(data)


@pytest.mark.parametrize("part", [slice(None), slice(57), slice(-48, None)], ids=["whole", "begin", "end"])
def test_each_form_is_found_in_files(planted: Planted, tmp_path: Path, part: slice) -> None:
    forms = dict(written(planted.value[part]))
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
    found = planted.canaries.find_in_tree(tmp_path)
    planted.proven(found, (tmp_path / name for name in forms))
    assert {find.flows for find in found} == {"planted"}
    for name in forms:
        (tmp_path / name).unlink()
    assert planted.canaries.find_in_tree(tmp_path) == set()


@pytest.mark.parametrize("form", ["as it is", "JSON", "UTF-16 LE", "base64, 1 after a group"])
def test_what_lies_across_two_pieces_is_found(planted: Planted, tmp_path: Path, form: str) -> None:
    needle = encodings(planted.value)[form]
    for before in range(CHUNK - len(needle) - 1, CHUNK + 1, 16):
        (tmp_path / "large").write_bytes(b"." * before + needle + b"." * CHUNK)
        planted.proven(planted.canaries.find_in_file(tmp_path / "large"), [tmp_path / "large"])


def test_names_and_targets_are_looked_at(planted: Planted, tmp_path: Path) -> None:
    named, link = tmp_path / f"{planted.canaries.mark}.txt", tmp_path / "link"
    named.touch()
    link.symlink_to(named)
    found = planted.canaries.find_in_tree(tmp_path)
    planted.proven(found, (f"the name of {named}", f"the target of {link}"))


def test_rows_of_sqlite_are_found(planted: Planted, tmp_path: Path) -> None:
    """Also those that are in pieces, in a log, or encrypted."""
    database, key = tmp_path / "planted.sqlite", Fernet.generate_key()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute('CREATE TABLE "lo""ng" (options TEXT)')
        connection.execute("CREATE TABLE sealed (payload BLOB)")
        # In each row it begins elsewhere, so it begins in one page and ends in the next in some of them.
        for before in range(0, 4096, 64):
            connection.execute('INSERT INTO "lo""ng" VALUES (?)', ("." * (8192 + before) + planted.value,))
        connection.execute("INSERT INTO sealed VALUES (?)", (b"\0" + Fernet(key).encrypt(planted.value.encode()),))
        connection.commit()
        opener = fernet_opener([key.decode()])
        found = planted.canaries.find_in_tree(tmp_path, opener=opener)
        places = (f'{database}, table lo"ng', f"{database}, table sealed, decrypted", f"{database}-wal")
        planted.proven(found, places)
        without = planted.canaries.find_in_tree(tmp_path, opener=fernet_opener([Fernet.generate_key().decode()]))
        with pytest.raises(AssertionError, match="decrypted"):
            planted.proven(without, places)
        rows = [row for (row,) in connection.execute('SELECT options FROM "lo""ng"')]
        assert all(planted.canaries.find_in_bytes(row.encode(), "row") for row in rows)


def test_rows_of_sqlite_are_found_while_a_program_keeps_them_to_itself(planted: Planted, tmp_path: Path) -> None:
    database = tmp_path / "planted.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("CREATE TABLE kept (value TEXT)")
        connection.execute("INSERT INTO kept VALUES (?)", (planted.value,))
        connection.commit()
        planted.proven(planted.canaries.find_in_tree(tmp_path), (f"{database}, table kept",))


async def test_command_lines_and_environments_are_found(planted: Planted) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with Watch(planted.canaries) as watch:
        shown = await asyncio.create_subprocess_exec(*command, planted.value, stdin=subprocess.PIPE)
        given = await asyncio.create_subprocess_exec(*command, env={"CANARY": planted.value}, stdin=subprocess.PIPE)

        async def look() -> set[str]:
            return {find.place for find in set(watch.found)}

        try:
            await until(look, lambda found: len(found) >= 2, within=30, what="both are found")
        finally:
            await asyncio.gather(shown.communicate(b""), given.communicate(b""))
    planted.proven(watch.found, [f"the command line of {shown.pid}", f"the environment of {given.pid}"])
    assert watch.inside == set()


async def test_rows_and_the_log_of_postgres_are_found(planted: Planted, stack: Stack) -> None:
    data = stack.directory / "postgres"
    connection = await asyncpg.connect(stack.info.database)
    try:
        await connection.execute("CREATE TABLE planted (plain text, structured jsonb, raw bytea)")
        await connection.execute("INSERT INTO planted VALUES ($1, NULL, NULL)", planted.value)
        await connection.execute("INSERT INTO planted VALUES (NULL, $1, NULL)", json.dumps({"value": planted.value}))
        await connection.execute("INSERT INTO planted VALUES (NULL, NULL, $1)", planted.value.encode())
        rows = await planted.canaries.find_in_postgres(stack.layout.database_url)
        planted.proven(rows, ["nbhub, table public.planted"])
        assert {find.form for find in rows} == {"as it is", "hexadecimal"}
    finally:
        await connection.execute("DROP TABLE planted")
        await connection.close()
    await flush_postgres(stack.layout.database_url("postgres"))
    assert await planted.canaries.find_in_postgres(stack.layout.database_url) == set()
    # Rows that were removed are in the log until it is used again.
    planted.proven(planted.canaries.find_in_tree(data), [data / "pg_wal"])


async def test_payloads_of_histories_are_found(planted: Planted, stack: Stack) -> None:
    client = await Client.connect(stack.info.temporal, plugins=[plugin(stack.secrets.payload_keys)])
    handle = await client.start_workflow(
        "Planted", {"value": planted.value}, id="planted", task_queue="nobody", static_summary=planted.value
    )
    try:

        async def look() -> Histories:
            return await planted.canaries.find_in_histories(client)

        # Temporal lists a workflow a moment after it has begun.
        histories = await until(look, lambda seen: bool(seen.found), within=30, what="it is found")
        planted.proven(histories.found, ["Temporal, planted, decoded"])
        # What is stored hides it: without the keys nothing would have been found.
        assert {find.place for find in histories.found} == {"Temporal, planted, decoded"}
    finally:
        await handle.terminate()
        execution = WorkflowExecution(workflow_id="planted", run_id=handle.result_run_id or "")
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=execution)
        )


async def test_answers_are_found_with_their_headers(planted: Planted) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/header":
            return httpx.Response(303, headers={"Location": f"/?{planted.canaries.mark}"})
        return httpx.Response(422, json={"message": planted.value})

    answers = Answers()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://test") as client:
        with answers.of(client):
            await client.get("/header")
            await client.post("/body")
        await client.post("/unheard")
    found = answers.find(planted.canaries)
    planted.proven(found, ["GET http://test/header (303)", "POST http://test/body (422)"])
    assert len(answers.recorded) == 2


def test_what_is_planted_and_missed_fails(planted: Planted, tmp_path: Path) -> None:
    """No finder knows this form: whoever asserts that it was found is told that it was not."""
    (tmp_path / "reversed").write_text(planted.value[::-1])
    (tmp_path / "found").write_text(planted.value)
    found = planted.canaries.find_in_tree(tmp_path)
    planted.proven(found, [tmp_path / "found"])
    with pytest.raises(AssertionError, match="reversed"):
        planted.proven(found, [tmp_path / "reversed"])
    assert Canaries().find_in_tree(tmp_path) == set()
