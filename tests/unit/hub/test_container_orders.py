"""Orders as the objects that KubeSpawner and DockerSpawner would submit, and the truth told by those backends."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from dockerspawner import DockerSpawner
from kubernetes_asyncio.client import ApiException
from traitlets.config import Config

from hub.docker import DockerBackend, DockerTranslation
from hub.kubernetes import KubernetesBackend, KubernetesTranslation
from hub.order import OrderRefused
from hub.program import load_modules
from hub.records import GenerationFenced, Records
from models.domain.server_spec import Mount
from tests.unit.hub.conftest import SERVER, MakeOrder

VAULT, LMOD = "http://vault.test:8200", "/usr/share/lmod/lmod/init/bash"
CLAIMS = {"/opt/notebooks": "homes", "/opt/datasets": "datasets", "/opt/modules": "modules"}
ID = "0197f3a2-7b3c-7c1a-9d55-2f6f3c0a1b2c"
MOUNTS = (
    Mount(source="/opt/datasets/d1", target="/opt/datasets/my data", read_only=True),
    Mount(source="/opt/datasets/d2", target="/opt/datasets/{username}", read_only=False),
)


class Containers(DockerSpawner):  # type: ignore[misc]  # has no types
    server = SERVER
    client = MagicMock()

    def get_env(self) -> dict[str, str]:
        return {"JUPYTERHUB_API_TOKEN": "hub-token", **self.environment}


async def manifest(spawner: Any, order: Any) -> Any:
    KubernetesTranslation(CLAIMS, VAULT, LMOD).apply(spawner, order)
    return await spawner.get_pod_manifest()


async def test_a_pod_of_jupyterlab(kube_spawner: Any, make_order: MakeOrder) -> None:
    pod = await manifest(kube_spawner, make_order(mounts=MOUNTS))
    (container,) = pod.spec.containers
    assert container.image == "quay.io/jupyter/scipy-notebook:latest"
    assert container.args[0] == "jupyterhub-singleuser"
    assert container.resources.limits == {"cpu": 4, "memory": int(7.5 * 1024**3)}
    assert pod.metadata.labels["notebooks-hub/server-id"] == ID
    assert pod.metadata.labels["notebooks-hub/generation"] == "4"
    assert pod.metadata.annotations["notebooks-hub/hub-user"] == "alice@example.org"
    assert not pod.spec.automount_service_account_token
    assert container.security_context["allowPrivilegeEscalation"] is False
    assert [volume.persistent_volume_claim["claimName"] for volume in pod.spec.volumes] == ["homes", "datasets"]
    assert [(m.mount_path, m.sub_path, m.read_only) for m in container.volume_mounts] == [
        ("/home/jovyan", "alice", False),
        ("/opt/datasets/my data", "d1", True),
        # Names are no templates.
        ("/opt/datasets/{username}", "d2", False),
    ]


async def test_a_pod_of_a_dashboard_is_behind_the_sign_in(kube_spawner: Any, make_order: MakeOrder) -> None:
    pod = await manifest(
        kube_spawner, make_order(application="streamlit", file_path="$HOME/app.py", hardware="gpuSmall")
    )
    (container,) = pod.spec.containers
    assert container.args[:3] == ["python3", "-I", "-c"]
    assert "class Visit" in container.args[3]
    assert container.args[5:8] == ["/_stcore/health", "streamlit", "run"]
    assert "--server.port={port}" in container.args
    assert container.args[-1] == "/home/jovyan/app.py"
    assert container.resources.limits["nvidia.com/gpu"] == "1"


async def test_a_second_order_leaves_nothing_of_the_first(kube_spawner: Any, make_order: MakeOrder) -> None:
    await manifest(kube_spawner, make_order(mounts=MOUNTS, hardware="gpuSmall"))
    pod = await manifest(kube_spawner, make_order())
    (container,) = pod.spec.containers
    assert len(container.volume_mounts) == 1
    assert "nvidia.com/gpu" not in container.resources.limits


@pytest.mark.parametrize("source", ["/etc", "/opt/datasets", "/opt/datasets/../notebooks/bob", "/opt/datasets2/x"])
def test_a_pod_mounts_nothing_else(make_order: MakeOrder, source: str) -> None:
    order = make_order(mounts=(Mount(source=source, target="/opt/datasets/x", read_only=True),))
    for translation in (KubernetesTranslation(CLAIMS, VAULT, LMOD), DockerTranslation(tuple(CLAIMS), LMOD)):
        with pytest.raises(OrderRefused):
            translation.apply(MagicMock(server=SERVER), order)


async def test_a_container(make_order: MakeOrder) -> None:
    user = SimpleNamespace(name="alice@example.org", url="/user/alice@example.org/", settings={}, id=1)
    spawner = Containers(user=user, hub=MagicMock(), orm_spawner=None, config=Config())
    DockerTranslation(tuple(CLAIMS), LMOD).apply(spawner, make_order(mounts=MOUNTS, hardware="gpuSmall"))
    await spawner.create_object()
    host = Containers.client.create_host_config.call_args.kwargs
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in host["mounts"]] == [
        ("/opt/notebooks/alice", "/home/jovyan", False),
        ("/opt/datasets/d1", "/opt/datasets/my data", True),
        ("/opt/datasets/d2", "/opt/datasets/{username}", False),
    ]
    assert host["cap_drop"] == ["ALL"]
    assert host["auto_remove"] is True
    assert host["device_requests"][0]["Count"] == 1
    created = Containers.client.create_container.call_args.kwargs
    assert created["labels"]["notebooks-hub/server-id"] == ID
    assert created["labels"]["notebooks-hub/hub-user"] == "alice@example.org"
    assert created["command"][0] == "jupyterhub-singleuser"
    assert "hub-token" not in str(created["command"])


MODULES: dict[str, Any] = {
    "modules": ("gcc/13", "r/4"),
    "mounts": (
        Mount(source="/opt/modules/binaries/1", target="/opt/modules/binaries/1", read_only=True),
        Mount(
            source="/opt/modules/modulefiles/2/gcc/13.lua",
            target="/opt/modules/modulefiles/bob@example.org/gcc/13.lua",
            read_only=True,
        ),
        Mount(
            source="/opt/modules/modulefiles/3/r/4.lua",
            target="/opt/modules/modulefiles/{username}/r/4.lua",
            read_only=True,
        ),
    ),
}
MODULE_VARIABLES = {
    "MODULEPATH": "/opt/modules/modulefiles/bob@example.org:/opt/modules/modulefiles/{username}",
    "MODULEPATH_ROOT": "/opt/modules/modulefiles",
    "LMOD_SYSTEM_DEFAULT_MODULES": "gcc/13:r/4",
}


async def test_a_pod_loads_its_modules(kube_spawner: Any, make_order: MakeOrder) -> None:
    (plain,) = (await manifest(kube_spawner, make_order())).spec.containers
    (container,) = (await manifest(kube_spawner, make_order(**MODULES))).spec.containers
    # The shell's script as it is, and then the command of any other server.
    assert container.args == [*load_modules((), LMOD), *plain.args]
    variables = {variable.name: variable.value for variable in container.env}
    assert {name: variables.get(name) for name in MODULE_VARIABLES} == MODULE_VARIABLES
    assert [(m.mount_path, m.sub_path, m.read_only) for m in container.volume_mounts[1:]] == [
        ("/opt/modules/binaries/1", "binaries/1", True),
        ("/opt/modules/modulefiles/bob@example.org/gcc/13.lua", "modulefiles/2/gcc/13.lua", True),
        ("/opt/modules/modulefiles/{username}/r/4.lua", "modulefiles/3/r/4.lua", True),
    ]
    # A second order leaves nothing of the first.
    (container,) = (await manifest(kube_spawner, make_order())).spec.containers
    assert container.args == plain.args
    assert not {variable.name for variable in container.env} & set(MODULE_VARIABLES)


async def test_a_container_loads_its_modules(make_order: MakeOrder) -> None:
    user = SimpleNamespace(name="alice@example.org", url="/user/alice@example.org/", settings={}, id=1)
    spawner = Containers(user=user, hub=MagicMock(), orm_spawner=None, config=Config())
    commands = []
    for order in (make_order(), make_order(**MODULES)):
        DockerTranslation(tuple(CLAIMS), LMOD).apply(spawner, order)
        await spawner.create_object()
        commands.append(Containers.client.create_container.call_args.kwargs["command"])
    plain, loading = commands
    assert loading == [*load_modules((), LMOD), *plain]
    variables = Containers.client.create_container.call_args.kwargs["environment"]
    assert {name: variables.get(name) for name in MODULE_VARIABLES} == MODULE_VARIABLES
    DockerTranslation(tuple(CLAIMS), LMOD).apply(spawner, make_order())
    await spawner.create_object()
    created = Containers.client.create_container.call_args.kwargs
    assert created["command"] == plain
    assert not set(created["environment"]) & set(MODULE_VARIABLES)


def pod(name: str, generation: int, phase: str = "Running") -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(
            name=name,
            labels={"notebooks-hub/server-id": ID, "notebooks-hub/generation": str(generation)},
            annotations={"notebooks-hub/hub-user": "alice@example.org", "notebooks-hub/hub-name": "lab"},
            creation_timestamp=datetime.now(UTC),
        ),
        status=SimpleNamespace(phase=phase),
    )


class Cluster:
    """The part of Kubernetes' API that is used: a deleted pod stays for one more look."""

    def __init__(self, *pods: Any) -> None:
        self.pods = list(pods)
        self.dying: list[str] = []

    async def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        found = SimpleNamespace(items=list(self.pods))
        self.pods = [pod for pod in self.pods if pod.metadata.name not in self.dying]
        return found

    async def delete_namespaced_pod(self, name: str, namespace: str, grace_period_seconds: int) -> None:
        self.dying.append(name)
        if name == "gone":
            raise ApiException(status=404)


async def test_the_truth_about_pods(records: Records) -> None:
    cluster = Cluster(pod("a", 1), pod("gone", 2), pod("b", 3), pod("ended", 2, "Succeeded"))
    backend = KubernetesBackend(cluster, "ns", records)
    assert [report.resource for report in await backend.living()] == ["a", "gone", "b"]
    assert await backend.end(ID, up_to_generation=2) == []
    assert [report.resource for report in await backend.living_of(ID)] == ["b"]
    with records.fence(ID) as fence, pytest.raises(GenerationFenced):
        fence.check(2)


async def test_the_truth_about_containers(records: Records) -> None:
    def container(name: str, generation: str) -> dict[str, Any]:
        labels = {"notebooks-hub/server-id": ID, "notebooks-hub/generation": generation}
        return {"Id": name, "Created": 1.0, "Labels": labels}

    api = MagicMock()
    api.containers.return_value = [container("a", "1"), container("b", "3")]
    api.stop.side_effect = lambda name, timeout: api.containers.return_value.pop(0)
    backend = DockerBackend(api, records)
    assert await backend.end(ID, up_to_generation=2) == []
    assert [report.resource for report in await backend.living_of(ID)] == ["b"]
