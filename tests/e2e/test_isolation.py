"""What a kernel can reach: its own home, and nothing of anybody else."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Json, Member
from tests.stacks import Stack


@pytest.fixture(scope="module")
async def server(alice: Member) -> AsyncIterator[Json]:
    server = await alice.started()
    yield server
    await alice.succeeded(await alice.delete(server))


@pytest.fixture(scope="module")
async def notebook(server: Json, alice: Member, hub_token: Callable[[str], Awaitable[str]]) -> AsyncIterator[Notebook]:
    async with Notebook(server["url"], await hub_token(alice.email)) as notebook:
        yield notebook


async def reaches(notebook: Notebook, path: str) -> bool:
    """Whether the kernel can see `path`."""
    answer = await notebook.run(f"import os; print(os.path.lexists({path!r}))")
    return answer.strip() == "True"


async def test_a_kernel_sees_its_own_home_and_no_other(notebook: Notebook, stack: Stack, bob: Member) -> None:
    await bob.call("PUT", "/initialize", expect=200)
    await notebook.run("open('mine.txt', 'w').write('x')")
    assert await reaches(notebook, "mine.txt")
    homes = stack.data_root / "notebooks"
    assert len(list(homes.iterdir())) >= 2
    assert not await reaches(notebook, str(homes))


OPEN_FILES = """
import glob, os
for link in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        print(os.readlink(link))
    except OSError as error:
        print(type(error).__name__)
"""


async def test_a_kernel_sees_nothing_of_the_stack(notebook: Notebook, stack: Stack) -> None:
    assert not await reaches(notebook, str(stack.directory))
    # Neither by its path nor by what is open in other processes: in that which lets people in nothing can be looked at.
    seen = await notebook.run(OPEN_FILES)
    assert "jupyterhub.sqlite" not in seen
    assert str(stack.directory / "postgres") not in seen
    assert int(await notebook.run("print(len([p for p in os.listdir('/proc') if p.isdigit()]))")) < 20


async def test_a_kernel_cannot_remount_or_become_anybody(notebook: Notebook) -> None:
    code = "import subprocess; r = subprocess.run({!r}, capture_output=True, text=True); print(r.returncode)"
    assert int(await notebook.run(code.format(["mount", "-o", "remount,rw,bind", "/usr"]))) != 0
    assert int(await notebook.run(code.format(["unshare", "--user", "--map-root-user", "true"]))) != 0
    assert (await notebook.run("print(os.getuid())")).strip() == "1000"
    write = "try:\n    open('/usr/x', 'w')\nexcept OSError as error:\n    print(type(error).__name__, error.errno)"
    assert (await notebook.run(write)).strip() in {"OSError 30", "PermissionError 13"}


async def test_a_kernel_reaches_no_part_of_the_stack_but_the_hub(notebook: Notebook, stack: Stack) -> None:
    """Neither Temporal nor its web UI, Vault, the API with its codec, the provider nor JupyterHub's proxy."""
    ports = stack.layout.ports
    listening = {name for name, port in ports.items() if answers(port)}
    assert {"temporal", "temporal_ui", "vault", "api", "hub", "hub_proxy", "oidc"} <= listening
    code = f"""
import socket
def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
print([name for name, port in {ports!r}.items() if answers(port)])
"""
    assert (await notebook.run(code)).strip() == "['hub']"


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def test_the_environment_of_a_kernel_holds_no_key_of_the_hub(notebook: Notebook, stack: Stack) -> None:
    environment = await notebook.run("print(dict(os.environ))")
    for name in ("NBHUB_", "CONFIGPROXY", "POSTGRES", "VAULT"):
        assert name not in environment


async def test_a_users_own_token_neither_starts_nor_mounts(
    alice: Member, stack: Stack, server: Json, hub_token: Callable[[str], Awaitable[str]]
) -> None:
    headers = {"Authorization": f"token {await hub_token(alice.email)}"}
    name = await alice.hub_user()
    options = {"spec": "forged", "mounts": [{"source": "/etc", "target": "/opt/datasets/x", "read_only": False}]}
    async with httpx.AsyncClient(base_url=stack.info.jupyterhub, headers=headers, timeout=30) as hub:
        for path in (f"/hub/api/users/{name}/servers/mine", f"/hub/api/users/{name}/server"):
            response = await hub.post(path, json={"display_name": "x", "user_options": options})
            assert response.status_code in (403, 404), response.text
        me = (await hub.get(f"/hub/api/users/{name}")).json()
        assert set(me.get("servers") or {}) <= {server["name"]}
        # Nor can it read what the worker signed for the server.
        assert "spec" not in str(me)
