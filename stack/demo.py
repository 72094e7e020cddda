"""The main job, told as it happens: two people, one template, two servers, code that runs, and nothing left."""

import time
from typing import Any

import httpx

from stack.notebook import Notebook
from stack.supervisor import Stack

Json = dict[str, Any]

ALICE, BOB = "alice@example.org", "bob@example.org"
_CODE = """
import platform, os
print(f"6 * 7 = {6 * 7}, on Python {platform.python_version()} in {os.getcwd()}")
"""


class DemoFailed(Exception):
    """The story did not come to its end; the message says where it stopped."""


async def tell(stack: Stack) -> None:
    """Tell the story on a running stack; raises `DemoFailed`."""
    story = _Story(stack)
    print("\nThe story", flush=True)
    async with httpx.AsyncClient(base_url=stack.info.api, timeout=90) as api:
        alice = await story.signs_in(api, ALICE)
        template = await story.does(
            f"{ALICE} makes a public template",
            alice.call(
                "POST",
                "/template",
                json={
                    "name": "Quick JupyterLab",
                    "description": "Shown by the demo",
                    "type": "quick-launch",
                    "applicationType": "jupyterlab",
                    "hardware": "cpuSmall",
                    "public": True,
                    "tags": ["demo"],
                },
            ),
        )
        first = await story.has_server(alice, template)
        bob = await story.signs_in(api, BOB)
        second = await story.has_server(bob, template)
        for person, server in ((alice, first), (bob, second)):
            await story.operates(f"{person.email} stops the server", person, "PUT", f"/servers/{server['_id']}/stop")
            await story.operates(f"{person.email} deletes it", person, "DELETE", f"/servers/{server['_id']}")
        await story.does(
            f"{ALICE} deletes the template", alice.call("DELETE", "/template", params={"id": template["_id"]})
        )
    print("\nNothing is left but the record of it: every step is in the Temporal UI.", flush=True)


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


class _Story:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def does(self, what: str, doing: Any, link: str = "") -> Any:
        """Tell one step, with its time."""
        begun = time.monotonic()
        outcome = await doing
        print(f"  {time.monotonic() - begun:6.2f} s  {what}", flush=True)
        if link:
            print(f"            {link}", flush=True)
        return outcome

    async def signs_in(self, api: httpx.AsyncClient, email: str) -> _Person:
        token = await self.does(f"{email} signs in", self._stack.token(email))
        return _Person(api, email, token)

    async def operates(self, what: str, person: _Person, method: str, path: str) -> None:
        """Tell an operation, with the link to its workflow."""
        begun = time.monotonic()
        await person.call(method, path)
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
        printed = await self.does(f"{person.email} runs code in its kernel", self._runs(person.email, server))
        print(f"            {printed}", flush=True)
        return server

    async def _runs(self, email: str, server: Json) -> str:
        async with Notebook(server["url"], await self._stack.hub_token(email)) as notebook:
            return (await notebook.run(_CODE)).strip()
