"""Secrets of pods: the manifest that KubeSpawner would submit, and what its containers do when they are run."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes_asyncio.client import ApiClient

from hub.kubernetes import ENTER, PYTHON, UNWRAP, VARIABLES, KubernetesTranslation
from hub.order import Order, OrderRefused
from hub.secrets import handed_over
from hub.unwrap import ORDER_VARIABLE
from models.domain.server_spec import Mount, SecretMount, WrappedSecret
from tests.unit.hub.conftest import MakeOrder
from tests.unit.hub.wrapping import Wrapping

LMOD = "/usr/share/lmod/lmod/init/bash"
CLAIMS = {"/opt/notebooks": "homes", "/opt/modules": "modules"}
VOLUME = "nbhub-secrets"
Made = list[tuple[SecretMount, WrappedSecret]]

# Says what a server finds: its arguments, its variables, and the files at some places.
PROBE = """
import json, os, sys
found = []
for place in sys.argv[2:]:
    files = [os.path.join(place, name) for name in sorted(os.listdir(place))] if os.path.isdir(place) else [place]
    found.append({os.path.basename(file): open(file, newline="").read() for file in files})
print(json.dumps({"first": sys.argv[1], "environment": dict(os.environ), "found": found}))
"""


@pytest.fixture
def made(wrapping: Wrapping) -> Made:
    """Secrets of each kind, with braces wherever there may be some."""
    return [
        wrapping.wrap("env_var", "shh {username}", name="API_KEY"),
        wrapping.wrap("raw", "shh raw\r\n{{}}\n", name="{key}", target="/opt/secret/{username}"),
        wrapping.wrap("file", {"{a}": "shh a", "b.json": '{"shh": "é"}'}, name="two", target="/opt/secret/many"),
        wrapping.wrap("env_var", "shh\nof two lines", name="OTHER"),
        wrapping.wrap("file", "shh one", name="{servername}.txt", target="/srv/one"),
    ]


def with_secrets(make_order: MakeOrder, made: Made, **changes: Any) -> Order:
    order = make_order(secrets=tuple(mount for mount, _ in made), **changes)
    tokens = msgspec.to_builtins([token for _, token in made])
    return msgspec.structs.replace(order, handed_over=handed_over(order.spec, tokens))


async def manifest(spawner: Any, order: Order, vault: str = "http://vault.test:8200/") -> Any:
    """The JSON that would be sent to Kubernetes."""
    KubernetesTranslation(CLAIMS, vault, LMOD).apply(spawner, order)
    pod = await spawner.get_pod_manifest()
    return ApiClient.sanitize_for_serialization(ApiClient.__new__(ApiClient), pod)["spec"]


def environment(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


async def test_an_init_container_is_told_what_to_open(kube_spawner: Any, make_order: MakeOrder, made: Made) -> None:
    kube_spawner.uid, kube_spawner.gid = 1000, 100
    pod = await manifest(kube_spawner, with_secrets(make_order, made))
    (init,), (server,) = pod["initContainers"], pod["containers"]
    assert init["image"] == server["image"]
    # As it is here: braces are no templates of KubeSpawner's.
    assert init["command"] == [*PYTHON, UNWRAP.read_text()]
    assert set(environment(init)) == {ORDER_VARIABLE}
    order = json.loads(environment(init)[ORDER_VARIABLE])
    assert order["vault"] == "http://vault.test:8200"
    assert order["secrets"] == [{**msgspec.to_builtins(mount), "token": token.token} for mount, token in made]
    assert init["volumeMounts"] == [{"name": VOLUME, "mountPath": order["directory"]}]
    # What only its user may read is for the server's user.
    for container in (init, server):
        assert container["securityContext"]["runAsUser"] == 1000
        assert container["securityContext"]["runAsGroup"] == 100
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert init["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["volumes"][-1] == {"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
    for _, token in made:
        assert token.token not in json.dumps(server)
    assert "shh" not in json.dumps(pod)


async def test_an_images_own_user_is_the_same_in_both(kube_spawner: Any, make_order: MakeOrder, made: Made) -> None:
    pod = await manifest(kube_spawner, with_secrets(make_order, made))
    for container in (*pod["initContainers"], *pod["containers"]):
        assert not {"runAsUser", "runAsGroup"} & set(container["securityContext"])


async def test_a_server_finds_its_secrets_each_at_its_place(
    kube_spawner: Any, make_order: MakeOrder, made: Made
) -> None:
    pod = await manifest(kube_spawner, with_secrets(make_order, made))
    (server,) = pod["containers"]
    home, *mounts = server["volumeMounts"]
    assert home["mountPath"] == "/home/jovyan"
    assert mounts == [
        {"name": VOLUME, "mountPath": path, "subPath": place, "readOnly": True}
        for path, place in (
            ("/run/nbhub-secrets", "env"),
            ("/opt/secret/{username}", "files-0"),
            ("/opt/secret/many", "files-1"),
            ("/srv/one", "files-2"),
        )
    ]
    plain = await manifest(kube_spawner, make_order())
    assert server["args"] == [*PYTHON, ENTER.read_text(), VARIABLES, *plain["containers"][0]["args"]]
    assert environment(server) == environment(plain["containers"][0])


async def test_without_secrets_there_is_nothing_of_them(kube_spawner: Any, make_order: MakeOrder, made: Made) -> None:
    """Not of an earlier order either."""
    before = await manifest(kube_spawner, make_order())
    assert VOLUME not in json.dumps(before)
    assert not before.get("initContainers")
    assert before["containers"][0]["args"][0] == "jupyterhub-singleuser"
    await manifest(kube_spawner, with_secrets(make_order, made))
    assert await manifest(kube_spawner, make_order()) == before
    # Nor of one secret's place in the next order.
    pod = await manifest(kube_spawner, with_secrets(make_order, made[:1]))
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == [
        "/home/jovyan",
        "/run/nbhub-secrets",
    ]
    assert made[1][1].token not in json.dumps(pod)


def test_without_vault_secrets_are_refused(kube_spawner: Any, make_order: MakeOrder, made: Made) -> None:
    with pytest.raises(OrderRefused) as refusal:
        KubernetesTranslation(CLAIMS, "", LMOD).apply(kube_spawner, with_secrets(make_order, made))
    assert refusal.value.code == "secrets-refused"


async def test_modules_are_loaded_with_the_secrets_variables(
    kube_spawner: Any, make_order: MakeOrder, made: Made
) -> None:
    module = Mount(source="/opt/modules/m", target="/opt/modules/modulefiles/alice/a/1.lua", read_only=True)
    order = with_secrets(make_order, made, modules=("a/1",), mounts=(module,))
    (server,) = (await manifest(kube_spawner, order))["containers"]
    start = [*PYTHON, ENTER.read_text(), VARIABLES, "bash"]
    assert server["args"][: len(start)] == start


class Memory:
    """What the containers of a pod do, in processes: the volume in memory is a directory."""

    def __init__(self, pod: Any, directory: Path) -> None:
        (self._init,), (self._server,) = pod["initContainers"], pod["containers"]
        self.directory = directory
        directory.mkdir()

    def initialise(self) -> subprocess.CompletedProcess[str]:
        order = json.loads(environment(self._init)[ORDER_VARIABLE])
        variables = {ORDER_VARIABLE: json.dumps({**order, "directory": str(self.directory)})}
        return self._run([sys.executable, *self._init["command"][1:]], variables)

    def mounted(self) -> dict[str, Path]:
        """What a server sees of the volume, by path."""
        mounts = [mount for mount in self._server["volumeMounts"] if mount["name"] == VOLUME]
        return {mount["mountPath"]: self.directory / mount["subPath"] for mount in mounts}

    def serve(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the server's would be."""
        python, *options = PYTHON
        assert self._server["args"][: len(PYTHON)] == [python, *options]
        text, variables, *_ = self._server["args"][len(PYTHON) :]
        directory, _, name = variables.rpartition("/")
        return self._run(
            [sys.executable, *options, text, str(self.mounted()[directory] / name), *command], {"HOME": "/h"}
        )

    def _run(self, command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        # Nothing of this project is there.
        return subprocess.run(
            command, env=variables, cwd=self.directory.parent, capture_output=True, text=True, check=False, timeout=60
        )


async def test_what_the_manifest_says_hands_the_secrets_over(
    kube_spawner: Any, make_order: MakeOrder, made: Made, wrapping: Wrapping, tmp_path: Path
) -> None:
    pod = await manifest(kube_spawner, with_secrets(make_order, made), wrapping.url)
    memory = Memory(pod, tmp_path / "memory")
    opened = memory.initialise()
    assert (opened.returncode, opened.stdout, opened.stderr) == (0, "", "")
    mounted = memory.mounted()
    files = [file for file in sorted(memory.directory.rglob("*")) if not file.is_dir()]
    assert len(files) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o400}
    # All of it is mounted somewhere.
    assert {file for file in files if not set(mounted.values()) & {file, *file.parents}} == set()

    targets = ("/opt/secret/{username}", "/opt/secret/many", "/srv/one")
    ran = memory.serve(sys.executable, "-c", PROBE, "an argument {x}", *(str(mounted[target]) for target in targets))
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["first"] == "an argument {x}"
    variables = {"HOME": "/h", "API_KEY": "shh {username}", "OTHER": "shh\nof two lines"}
    assert {name: said["environment"].get(name) for name in variables} == variables
    assert ORDER_VARIABLE not in said["environment"]
    raw, many, one = said["found"]
    assert list(raw.values()) == ["shh raw\r\n{{}}\n"]
    assert many == {"{a}": "shh a", "b.json": '{"shh": "é"}'}
    assert one == {"{servername}.txt": "shh one"}


async def test_a_token_that_was_used_keeps_the_server_from_starting(
    kube_spawner: Any, make_order: MakeOrder, made: Made, wrapping: Wrapping, tmp_path: Path
) -> None:
    pod = await manifest(kube_spawner, with_secrets(make_order, made), wrapping.url)
    assert Memory(pod, tmp_path / "first").initialise().returncode == 0
    second = Memory(pod, tmp_path / "second")
    refused = second.initialise()
    assert refused.returncode == 1
    assert "was used already or has ended: start the server again" in refused.stderr
    assert list(second.directory.iterdir()) == []
    for _, token in made:
        assert token.token not in refused.stdout + refused.stderr


async def test_a_server_ends_with_its_own_exit_code(
    kube_spawner: Any, make_order: MakeOrder, made: Made, wrapping: Wrapping, tmp_path: Path
) -> None:
    memory = Memory(await manifest(kube_spawner, with_secrets(make_order, made), wrapping.url), tmp_path / "memory")
    assert memory.initialise().returncode == 0
    assert memory.serve(sys.executable, "-c", "raise SystemExit(7)").returncode == 7
