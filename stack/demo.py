"""The main job, told as it happens: people, a template, what they share, code that runs, and nothing left."""

import hashlib
import secrets
import time
from typing import Any, Protocol

import httpx

from stack.notebook import Notebook
from stack.state import StackFailed

Json = dict[str, Any]

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
_CODE = """
import platform, os
print(f"6 * 7 = {6 * 7}, on Python {platform.python_version()} in {os.getcwd()}")
"""


_NOTE = "forty-two cells"
_VARIABLE, _GREETING = "MICROSCOPE", "confocal"
_KEPT_AS = "IMAGING_TOKEN"


def _look(dataset: str) -> str:
    """Code that tells what a kernel has of the template: a dataset, a module and a secret."""
    return f"""
import hashlib, os, pathlib, subprocess
folder = pathlib.Path("/opt/datasets/{dataset}")
if folder.exists():
    print("dataset: reads", repr((folder / "note.txt").read_text()), end="; ")
    try:
        (folder / "written.txt").write_text("x")
        print("writes too")
    except OSError as error:
        print("cannot write:", error.strerror)
else:
    print("dataset: not there")
listed = subprocess.run(["bash", "-c", "module --terse list 2>&1"], capture_output=True, text=True).stdout
loaded = listed.split() if "{_VARIABLE}" in os.environ else []
print("module:", f"{{loaded[0]}} is loaded, {_VARIABLE}={{os.environ['{_VARIABLE}']}}" if loaded else "not there")
secret = os.environ.get("{_KEPT_AS}")
print("secret:", f"fingerprint {{hashlib.sha256(secret.encode()).hexdigest()[:12]}}" if secret else "not there")
"""


class DemoFailed(StackFailed):
    """The story did not come to its end; the message says where it stopped."""


class Stage(Protocol):
    """Where the story is told: a stack, or a deployment."""

    @property
    def api(self) -> str:
        """The API's address."""

    async def token(self, email: str) -> str:
        """An access token of a person, who signs in."""

    async def notebook(self, email: str, url: str) -> Notebook:
        """A new kernel in a person's server."""


async def tell(stage: Stage, *, modules: bool = True) -> None:
    """Tell the story on a stage, without `modules` where it has no Lmod; raises `DemoFailed`."""
    print("\nThe story", flush=True)
    async with httpx.AsyncClient(base_url=stage.api, timeout=90) as api:
        story = _Story(stage, api)
        await story.alice_makes_a_template(modules=modules)
        await story.alice_works_with_it()
        await story.alice_shares_what_it_names()
        await story.bob_and_carol_work_with_it()
        await story.alice_takes_it_back()
        await story.bob_and_carol_have_lost_it()
        await story.alice_clears_away()
    print("\nNothing is left but the record of it: every step is in the Temporal UI.\n", flush=True)


def _fingerprint(value: str) -> str:
    """What may be shown of a secret: whether it is the same."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]


class _Person:
    def __init__(self, api: httpx.AsyncClient, email: str, token: str) -> None:
        self.email = email
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **more: Any) -> Any:
        # Long enough for whatever the demo asks for; a write that takes longer answers 202.
        headers = self._headers | {"Prefer": "wait=60"}
        answer = await self._api.request(method, path, headers=headers, **more)
        if answer.is_error:
            raise DemoFailed(f"{method} {path} answers {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    async def finds_stopped(self, server: Json) -> None:
        """Raise `DemoFailed` unless the server was stopped because an access was withdrawn."""
        seen = await self.call("GET", f"/servers/{server['_id']}")
        if seen["status"] != "stopped" or seen.get("last_error", {}).get("code") != "ACCESS_WITHDRAWN":
            raise DemoFailed(f"the server of {self.email} is {seen['status']} although its dataset was revoked")


class _Teller:
    """Tells what people do, step by step, while they do it."""

    def __init__(self, stage: Stage, api: httpx.AsyncClient) -> None:
        self._stage, self._api = stage, api

    async def does(self, what: str, doing: Any, link: str = "") -> Any:
        """Tell one step, with its time."""
        begun = time.monotonic()
        outcome = await doing
        print(f"  {time.monotonic() - begun:6.2f} s  {what}", flush=True)
        if link:
            print(f"            {link}", flush=True)
        return outcome

    async def signs_in(self, email: str) -> _Person:
        token = await self.does(f"{email} signs in", self._stage.token(email))
        return _Person(self._api, email, token)

    async def operates(self, what: str, person: _Person, method: str, path: str, body: Json | None = None) -> None:
        """Tell an operation, with the link to its workflow."""
        begun = time.monotonic()
        await person.call(method, path, **({} if body is None else {"json": body}))
        seconds = time.monotonic() - begun
        subject = path.split("/")[2]
        operation = (await person.call("GET", "/operations", params={"subject": subject, "limit": "1"}))[0]
        if operation["status"] != "succeeded":
            error = operation.get("error", {})
            raise DemoFailed(f"{what}: {operation['status']} {error.get('message', '')} {error.get('hint', '')}")
        print(f"  {seconds:6.2f} s  {what}\n            {operation.get('workflow_url', '')}", flush=True)

    async def has_server(self, person: _Person, template: Json) -> Json:
        """A server from a template, started, with code that runs in it."""
        server: Json = await self.does(
            f"{person.email} makes a server from it",
            person.call("PUT", "/servers", params={"templateId": template["_id"]}),
        )
        await self.operates(f"{person.email} starts it", person, "PUT", f"/servers/{server['_id']}/start")
        print(f"            {server['url']}", flush=True)
        await self.finds(person, server, _CODE, "42")
        return server

    async def finds(self, person: _Person, server: Json, code: str, *expected: str) -> None:
        """Run code in a kernel of a person's server; raises `DemoFailed` unless it prints what is expected."""
        printed = await self.does(f"{person.email} runs code in its kernel", self._printed(person.email, server, code))
        for line in printed.splitlines():
            print(f"            {line}", flush=True)
        for words in expected:
            if words not in printed:
                raise DemoFailed(f"the kernel of {person.email} does not print {words!r}")

    async def _printed(self, email: str, server: Json, code: str) -> str:
        async with await self._stage.notebook(email, server["url"]) as notebook:
            return (await notebook.run(code)).strip()


class _Story(_Teller):
    """The acts, in order. Bob may read each thing that the template names; Carol's group may write to the dataset."""

    async def alice_makes_a_template(self, *, modules: bool) -> None:
        self.alice = await self.signs_in(ALICE)
        call = self.alice.call
        self.dataset = await self.does(
            f"{ALICE} makes a dataset", call("POST", "/datasets", json={"name": f"cells-{int(time.time())}"})
        )
        note = {"root": "datasets", "path": self.dataset["_id"], "type": "file", "name": "note.txt", "content": _NOTE}
        await self.does(f"{ALICE} puts a file into it", call("POST", "/volume/file", json=note))
        module = {
            "name": f"imaging-{int(time.time())}",
            "version": "1.0",
            "luaModuleFile": [{"id": "setenv", "arguments": [_VARIABLE, _GREETING]}],
        }
        self.module = await self.does(
            f"{ALICE} makes a module, which Lmod will load", call("POST", "/modules", json=module)
        )
        if not modules:
            print("            Lmod is missing on this machine: nobody loads the module", flush=True)
        value = secrets.token_urlsafe(24)
        self.secret = await self.does(
            f"{ALICE} keeps a secret in Vault, fingerprint {_fingerprint(value)}",
            call("POST", "/secrets", json={"secretName": _KEPT_AS, "type": "env_var", "value": value}),
        )
        template = {
            "name": "Quick JupyterLab",
            "description": "Shown by the demo",
            "type": "quick-launch",
            "applicationType": "jupyterlab",
            "hardware": "cpuSmall",
            "public": True,
            "tags": ["demo"],
            "datasets": [self.dataset["_id"]],
            "modules": [self.module["_id"]] if modules else [],
            "secrets": [self.secret["_id"]],
        }
        self.template = await self.does(
            f"{ALICE} makes a public template of all three", call("POST", "/template", json=template)
        )
        self.code = _look(self.dataset["name"])
        self.had = (*((_GREETING,) if modules else ()), _fingerprint(value))
        self.path = f"/datasets/{self.dataset['_id']}"
        self.more = {"module": f"/modules/{self.module['_id']}", "secret": f"/secret/{self.secret['_id']}"}

    async def alice_works_with_it(self) -> None:
        self.first = await self.has_server(self.alice, self.template)
        await self.finds(self.alice, self.first, self.code, *self.had)

    async def alice_shares_what_it_names(self) -> None:
        alice = self.alice
        self.bob, self.carol = await self.signs_in(BOB), await self.signs_in(CAROL)
        self.group = await self.does(
            f"{ALICE} makes a group", alice.call("POST", "/groups", json={"name": f"imaging-{int(time.time())}"})
        )
        joins = alice.call("POST", f"/groups/{self.group['_id']}/members", params={"memberEmail": CAROL})
        await self.does(f"{CAROL} joins it", joins)
        self.reader = {"relation": "read", "userArray": [BOB]}
        self.writers = {"relation": "write", "groupArray": [self.group["_id"]]}
        share = f"{self.path}/share"
        await self.operates(f"{ALICE} shares the dataset with {BOB}, to read", alice, "POST", share, self.reader)
        await self.operates(f"{ALICE} shares it with the group, to write", alice, "POST", share, self.writers)
        for kind, path in self.more.items():
            await self.operates(f"{ALICE} shares the {kind} with {BOB}", alice, "POST", f"{path}/share", self.reader)

    async def bob_and_carol_work_with_it(self) -> None:
        self.second = await self.has_server(self.bob, self.template)
        self.third = await self.has_server(self.carol, self.template)
        await self.finds(self.bob, self.second, self.code, _NOTE, *self.had)
        await self.finds(self.carol, self.third, self.code, _NOTE, "module: not there", "secret: not there")

    async def alice_takes_it_back(self) -> None:
        alice, revoke = self.alice, f"{self.path}/revoke"
        await self.operates(f"{ALICE} revokes it from {BOB}", alice, "POST", revoke, self.reader)
        await self.operates(f"{ALICE} revokes it from the group", alice, "POST", revoke, self.writers)
        for kind, path in self.more.items():
            await self.operates(f"{ALICE} revokes the {kind} from {BOB}", alice, "POST", f"{path}/revoke", self.reader)

    async def bob_and_carol_have_lost_it(self) -> None:
        for person, server in ((self.bob, self.second), (self.carol, self.third)):
            await self.does(f"the server of {person.email} was stopped", person.finds_stopped(server))
        await self.operates(f"{BOB} starts it again", self.bob, "PUT", f"/servers/{self.second['_id']}/start")
        nothing = ("dataset: not there", "module: not there", "secret: not there")
        await self.finds(self.bob, self.second, self.code, *nothing)

    async def alice_clears_away(self) -> None:
        alice, running = self.alice, ((self.alice, self.first), (self.bob, self.second))
        for person, server in running:
            await self.operates(f"{person.email} stops the server", person, "PUT", f"/servers/{server['_id']}/stop")
        for person, server in (*running, (self.carol, self.third)):
            await self.operates(f"{person.email} deletes it", person, "DELETE", f"/servers/{server['_id']}")
        await self.does(
            f"{ALICE} deletes the template", alice.call("DELETE", "/template", params={"id": self.template["_id"]})
        )
        await self.operates(f"{ALICE} deletes the group", alice, "DELETE", f"/groups/{self.group['_id']}")
        await self.operates(f"{ALICE} puts the dataset into the trash", alice, "DELETE", self.path)
        await self.operates(f"{ALICE} puts the module into the trash", alice, "DELETE", self.more["module"])
        await self.operates(f"{ALICE} deletes the secret, in Vault too", alice, "DELETE", self.more["secret"])
