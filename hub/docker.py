"""Servers as docker containers: an order in DockerSpawner's terms, and docker's own truth about them."""

import asyncio
from contextlib import suppress
from typing import Any

import docker  # type: ignore[import-untyped]
from docker.errors import NotFound  # type: ignore[import-untyped]
from docker.types import DeviceRequest  # type: ignore[import-untyped]

from hub import containers
from hub.backend import Report
from hub.containers import literal
from hub.offered import check_offered
from hub.order import NOT_VISIBLE, Order, OrderRefused
from hub.records import Failure, Records
from hub.settings import HubSettings
from models.domain.profiles import HOME
from models.domain.server_spec import Mount

_GRACE_SECONDS = 5


class DockerTranslation:
    """Turns orders into DockerSpawner's terms. Only what lies in the allowed directories is mounted."""

    def __init__(self, allowed_roots: tuple[str, ...], lmod: str) -> None:
        self._allowed_roots = allowed_roots
        self._lmod = lmod

    def apply(self, spawner: Any, order: Order) -> None:
        """Set on `spawner` everything that makes the container of this order."""
        check_offered(order, "docker")
        base_url = spawner.server.base_url
        spawner.image = order.application.image
        spawner.cmd = containers.command(order, base_url, self._lmod)
        spawner.environment = {"HOME": str(HOME), **containers.environment(order, base_url)}
        spawner.notebook_dir = str(HOME)
        spawner.default_url = order.application.default_url
        spawner.cpu_limit, spawner.mem_limit = order.hardware.cpu, order.hardware.memory_bytes
        spawner.mounts = [
            {
                "type": "bind",
                "source": literal(self._checked(mount)),
                "target": literal(mount.target),
                "read_only": mount.read_only,
            }
            for mount in containers.mounts(order)
        ]
        spawner.extra_create_kwargs = {
            "labels": {
                name: literal(value) for name, value in {**containers.labels(order), **containers.names(order)}.items()
            },
            "working_dir": str(HOME),
        }
        spawner.extra_host_config = {
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "device_requests": [DeviceRequest(count=order.hardware.gpu, capabilities=[["gpu"]])]
            if order.hardware.gpu
            else [],
        }
        # Ended containers hold nothing: homes and data are mounts.
        spawner.remove = True

    def _checked(self, mount: Mount) -> str:
        source = mount.source
        inside = any(source.startswith(f"{root.rstrip('/')}/") for root in self._allowed_roots)
        if not inside or ".." in source.split("/"):
            raise OrderRefused("mount-refused", f"What belongs at {mount.target} {NOT_VISIBLE}")
        return source


class DockerBackend:
    """The truth of the `docker` spawner: the containers that carry our labels. Its client blocks, hence threads."""

    def __init__(self, api: Any, records: Records) -> None:
        self._api = api
        self._records = records

    @classmethod
    def connect(cls, settings: HubSettings) -> "DockerBackend":
        """Use the docker daemon that the environment names, as DockerSpawner does."""
        return cls(docker.APIClient(version="auto", **docker.utils.kwargs_from_env()), Records(settings.data_dir))

    async def living(self) -> list[Report]:
        return await asyncio.to_thread(self._living, containers.SERVER_ID_LABEL)

    async def living_of(self, server_id: str) -> list[Report]:
        return await asyncio.to_thread(self._living, f"{containers.SERVER_ID_LABEL}={server_id}")

    async def end(self, server_id: str, up_to_generation: int) -> list[Report]:
        with self._records.fence(server_id) as fence:
            fence.raise_to(up_to_generation + 1)
        for report in await self.living_of(server_id):
            if report.generation <= up_to_generation:
                await asyncio.to_thread(self._stop, report.resource)
        return [report for report in await self.living_of(server_id) if report.generation <= up_to_generation]

    async def log(self, server_id: str) -> str | None:
        # Whoever may use docker reads it there; nobody here knows what is secret in it.
        return None

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        noted = self._records.failure(server_id, generation)
        return noted or await asyncio.to_thread(self._ending, server_id, generation)

    def _ending(self, server_id: str, generation: int) -> Failure | None:
        labels = [f"{containers.SERVER_ID_LABEL}={server_id}", f"{containers.GENERATION_LABEL}={generation}"]
        for container in self._api.containers(all=True, filters={"label": labels, "status": ["exited", "dead"]}):
            with suppress(NotFound):
                state = self._api.inspect_container(container["Id"])["State"]
                how = "it ran out of memory" if state["OOMKilled"] else f"exit code {state['ExitCode']}"
                reason, code = f"The server ended by itself ({how})", state["ExitCode"]
                return Failure(generation=generation, reason=reason, log="", exit_code=code)
        return None

    def _living(self, label: str) -> list[Report]:
        # Without `all=True` docker lists running containers only, and a paused one counts as running.
        return [_report(container) for container in self._api.containers(filters={"label": [label]})]

    def _stop(self, container: str) -> None:
        try:
            # Docker kills what is left after the grace time, and answers when it is gone.
            self._api.stop(container, timeout=_GRACE_SECONDS)
        except NotFound:
            return


def _report(container: dict[str, Any]) -> Report:
    found = container["Labels"]
    return Report(
        server_id=found[containers.SERVER_ID_LABEL],
        hub_user=found.get(containers.HUB_USER_LABEL, ""),
        hub_name=found.get(containers.HUB_NAME_LABEL, ""),
        generation=int(found[containers.GENERATION_LABEL]),
        alive=True,
        started_at=float(container["Created"]),
        resource=container["Id"],
    )
