"""Servers as pods: an order in KubeSpawner's terms, and Kubernetes' own truth about the pods."""

import asyncio
import json
import time
from pathlib import Path, PurePosixPath
from typing import Any

from kubernetes_asyncio import client, config

from hub import containers
from hub.backend import Report
from hub.containers import literal
from hub.offered import check_offered
from hub.order import Order, OrderRefused
from hub.program import ISOLATED
from hub.records import Failure, Records
from hub.settings import HubSettings
from hub.unwrap import ORDER_VARIABLE
from models.domain.profiles import HOME
from models.domain.server_spec import Mount

# What the init container shares with the server, and where the server finds its variables.
_VOLUME, _SECRETS = "nbhub-secrets", PurePosixPath("/nbhub-secrets")
VARIABLES = "/run/nbhub-secrets/variables.json"
PYTHON = ("python3", *ISOLATED, "-c")
ENTER, UNWRAP = (Path(__file__).with_name(name) for name in ("enter.py", "unwrap.py"))
_GPU = "nvidia.com/gpu"
_ENDED = ("Succeeded", "Failed")
_GRACE_SECONDS = 5
_PROOF_SECONDS = 30.0


class KubernetesTranslation:
    """Turns orders into KubeSpawner's terms. `claims` maps directories to the claims that hold them.

    Secrets are opened by an init container, which asks the Vault at `vault`. It puts them into a volume in memory that
    this pod alone has: from there come files, each at its own place, and the variables, by `hub.enter`.
    """

    def __init__(self, claims: dict[str, str], vault: str, lmod: str) -> None:
        self._claims = claims
        self._vault = vault
        self._lmod = lmod

    def apply(self, spawner: Any, order: Order) -> None:
        """Set on `spawner` everything that makes the pod of this order."""
        check_offered(order, "kube")
        base_url = spawner.server.base_url
        spawner.image = order.application.image
        plain = containers.command(order, base_url, self._lmod)
        spawner.cmd = [*PYTHON, ENTER.read_text(), VARIABLES, *plain] if order.handed_over else plain
        spawner.environment = {
            name: literal(value)
            for name, value in {"HOME": str(HOME), **containers.environment(order, base_url)}.items()
        }
        spawner.working_dir = spawner.notebook_dir = str(HOME)
        spawner.default_url = order.application.default_url
        spawner.cpu_limit, spawner.mem_limit = order.hardware.cpu, order.hardware.memory_bytes
        spawner.extra_resource_limits = {_GPU: str(order.hardware.gpu)} if order.hardware.gpu else {}
        spawner.node_selector = dict(order.hardware.node_selector)
        spawner.extra_labels = containers.labels(order)
        spawner.extra_annotations = {name: literal(value) for name, value in containers.names(order).items()}
        spawner.automount_service_account_token = False
        spawner.volumes, spawner.volume_mounts = self._volumes(order)
        spawner.init_containers = []
        if order.handed_over:
            self._add_secrets(spawner, order)

    def _volumes(self, order: Order) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        volumes: dict[str, dict[str, Any]] = {}
        volume_mounts = []
        for mount in containers.mounts(order):
            claim, path = self._in_claim(mount)
            volumes[claim] = {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
            volume_mounts.append(
                {
                    "name": claim,
                    "mountPath": literal(mount.target),
                    "subPath": literal(str(path)),
                    "readOnly": mount.read_only,
                }
            )
        return list(volumes.values()), volume_mounts

    def _add_secrets(self, spawner: Any, order: Order) -> None:
        if not self._vault:
            raise OrderRefused("secrets-refused", "this JupyterHub knows no Vault: set NBHUB_HUB_VAULT_URL")
        directory = str(_SECRETS)
        unwrapping = {"vault": self._vault.rstrip("/"), "directory": directory, "secrets": order.handed_over}
        spawner.init_containers = [
            {
                "name": "secrets",
                "image": spawner.image,
                "command": [*PYTHON, literal(UNWRAP.read_text())],
                # Each token in it opens once, and this container is the first to run.
                "env": [{"name": ORDER_VARIABLE, "value": literal(json.dumps(unwrapping))}],
                "volumeMounts": [{"name": _VOLUME, "mountPath": directory}],
                "securityContext": _security_context(spawner),
            }
        ]
        spawner.volumes = [*spawner.volumes, {"name": _VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]
        targets = dict.fromkeys(secret.target for secret in order.spec.secrets if secret.target)
        places = {str(PurePosixPath(VARIABLES).parent): "env"} | {
            target: f"files-{number}" for number, target in enumerate(targets)
        }
        spawner.volume_mounts = [
            *spawner.volume_mounts,
            *(
                {"name": _VOLUME, "mountPath": literal(target), "subPath": place, "readOnly": True}
                for target, place in places.items()
            ),
        ]

    def _in_claim(self, mount: Mount) -> tuple[str, PurePosixPath]:
        source = PurePosixPath(mount.source)
        for directory, claim in self._claims.items():
            if PurePosixPath(directory) in source.parents and ".." not in source.parts:
                return claim, source.relative_to(directory)
        raise OrderRefused(
            "mount-refused",
            f"What belongs at {mount.target} is on no volume that servers may see: an administrator can set "
            "NBHUB_HUB_KUBE_CLAIMS",
        )


def _security_context(spawner: Any) -> dict[str, Any]:
    """Return what lets the server's own user, and nobody else, read what the init container writes."""
    context: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    ids = {"runAsUser": spawner.uid, "runAsGroup": spawner.gid}
    return context | {name: value for name, value in ids.items() if isinstance(value, int)}


class KubernetesBackend:
    """The truth of the `kube` spawner: the pods that carry our labels."""

    def __init__(self, pods: Any, namespace: str, records: Records) -> None:
        self._pods = pods
        self._namespace = namespace
        self._records = records

    @classmethod
    async def connect(cls, settings: HubSettings) -> "KubernetesBackend":
        """Use the pod's own service account."""
        config.load_incluster_config()  # type: ignore[no-untyped-call]
        return cls(client.CoreV1Api(), settings.kube_namespace, Records(settings.data_dir))

    async def living(self) -> list[Report]:
        return await self._living(containers.SERVER_ID_LABEL)

    async def living_of(self, server_id: str) -> list[Report]:
        return await self._living(f"{containers.SERVER_ID_LABEL}={server_id}")

    async def end(self, server_id: str, up_to_generation: int) -> list[Report]:
        with self._records.fence(server_id) as fence:
            fence.raise_to(up_to_generation + 1)
        deadline = time.monotonic() + _PROOF_SECONDS
        asked: set[str] = set()
        while True:
            found = [report for report in await self.living_of(server_id) if report.generation <= up_to_generation]
            if not found or time.monotonic() > deadline:
                return found
            for report in found:
                if report.resource not in asked:
                    asked.add(report.resource)
                    await self._delete(report.resource)
            await asyncio.sleep(0.5)

    async def log(self, server_id: str) -> str | None:
        # Whoever may use the cluster reads it there; nobody here knows what is secret in it.
        return None

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        noted = self._records.failure(server_id, generation)
        if noted is not None:
            return noted
        selector = f"{containers.SERVER_ID_LABEL}={server_id},{containers.GENERATION_LABEL}={generation}"
        answer = await self._pods.list_namespaced_pod(self._namespace, label_selector=selector)
        for pod in answer.items:
            for container in pod.status.container_statuses or []:
                if (end := container.state.terminated) is not None:
                    reason = f"The server ended by itself ({end.reason}, exit code {end.exit_code})"
                    return Failure(generation=generation, reason=reason, log="", exit_code=end.exit_code)
        return None

    async def _living(self, selector: str) -> list[Report]:
        answer = await self._pods.list_namespaced_pod(self._namespace, label_selector=selector)
        return [_report(pod) for pod in answer.items if pod.status.phase not in _ENDED]

    async def _delete(self, name: str) -> None:
        try:
            await self._pods.delete_namespaced_pod(name, self._namespace, grace_period_seconds=_GRACE_SECONDS)
        except client.ApiException as problem:
            if problem.status != 404:
                raise


def _report(pod: Any) -> Report:
    annotations = pod.metadata.annotations or {}
    return Report(
        server_id=pod.metadata.labels[containers.SERVER_ID_LABEL],
        hub_user=annotations.get(containers.HUB_USER_LABEL, ""),
        hub_name=annotations.get(containers.HUB_NAME_LABEL, ""),
        generation=int(pod.metadata.labels[containers.GENERATION_LABEL]),
        alive=True,
        started_at=pod.metadata.creation_timestamp.timestamp(),
        resource=pod.metadata.name,
    )
