"""Whether this service and what it depends on work, and which version it is.

The checks run side by side, each with its own deadline, so that one failure neither hides nor delays another.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import structlog
from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Meta

from api.http.authentication import authenticate
from api.http.dependencies import own_person
from api.http.errors import ErrorEnvelope
from api.http.fields import EMAIL, AnswerBody
from api.http.openapi import API_VERSION
from api.http.policy import Policy, needs
from api.http.rates import HEALTH, limited
from api.http.services import Services
from integrations.filesystem import Volumes
from models.database import engine
from models.domain.errors import DependencyUnavailable, DomainError
from models.domain.kinds import DIRECTORIES
from models.domain.settings import Settings
from models.ledger import heartbeats
from models.ledger.heartbeats import Role

log = structlog.get_logger(__name__)

# Read once: it is in a file.
_VERSION = metadata.version("notebooks-hub")

DEADLINE_SECONDS = 2.0
# Whose threads look at what belongs to all.
_NOBODY = UUID(int=0)
_VAULT_SERVES = (200, 429, 472, 473)  # active, or a standby that forwards

Email = Annotated[
    str | None,
    QueryParameter(format=EMAIL, description="Also look at this person's folders: one's own, or any for an admin."),
]


class CheckFailed(Exception):
    """A check did not find what it looked for; the message is fit to be shown."""


Status = Annotated[str, Meta(extra_json_schema={"enum": ["ok", "failed"]}, description="Whether all is well.")]


class Check(AnswerBody, frozen=True, kw_only=True):
    """How one part is."""

    status: Status
    latency_ms: Annotated[float, Meta(description="Milliseconds that it took to find out.")]
    error: Annotated[str, Meta(description="What is wrong, in words.")] | None = None


class Health(AnswerBody, frozen=True, kw_only=True):
    """`ok` when every check is, else `failed`."""

    status: Status
    checks: Annotated[dict[str, Check], Meta(description="Each part on which the service depends, by its name.")]
    folders: (
        Annotated[dict[str, Check], Meta(description="The directories of the person that `email` names.")] | None
    ) = None


UNHEALTHY: Any = Health | ErrorEnvelope
"""What is answered with 503: which part has failed, or that nothing can be told."""


class Version(AnswerBody, frozen=True, kw_only=True):
    """Which version of the service this is, from which commit, and of which API."""

    version: Annotated[str, Meta(description="Of the service.")]
    api: Annotated[str, Meta(description="Of this document.")]
    commit: Annotated[str, Meta(description="That the service was built of, where that is known.")] | None = None


class HealthController(Controller):
    """Health and version."""

    tags = ("Service",)

    @get(
        "/healthcheck",
        opt=needs(Policy.PUBLIC) | limited(HEALTH) | {"refusals": (401, 403, 404)},
        operation_id="checkHealth",
        responses={503: ResponseSpec(UNHEALTHY, generate_examples=False, description="A part has failed.")},
        summary="Health of the service",
    )
    async def healthcheck(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], email: Email = None
    ) -> Response[Health]:
        """Look at the database, Temporal, its workers, JupyterHub, Vault and the volumes. 503 if anything failed.

        One look serves everybody who asks within a second.
        """
        person = await _person(request, email)
        probes = Probes(services)
        checks, folders = await asyncio.gather(
            services.health.shared(lambda: run_checks(probes.all())),
            run_checks({} if person is None else probes.folders_of(person)),
        )
        ok = all(check.status == "ok" for check in (*checks.values(), *folders.values()))
        health = Health(status="ok" if ok else "failed", checks=checks, folders=folders or None)
        return Response(health, status_code=200 if ok else 503, headers={} if ok else {"Retry-After": "5"})

    @get("/livez", opt=needs(Policy.PUBLIC), include_in_schema=False, sync_to_thread=False)
    def alive(self) -> Response[None]:
        """That this process answers: whoever starts it again when it does not need not ask for more."""
        return Response(None, status_code=204)

    @get("/readyz", opt=needs(Policy.PUBLIC), include_in_schema=False)
    async def ready(self, services: NamedDependency[Services]) -> Response[None]:
        """That requests may be sent here: the database is reached. Without any other part reads and wishes go on."""
        return Response(None, status_code=204 if await services.readiness.shared(_reaches_the_database) else 503)

    @get(
        "/version",
        opt=needs(Policy.PUBLIC),
        operation_id="getVersion",
        summary="Version of the service",
        sync_to_thread=False,
    )
    def version(self, settings: NamedDependency[Settings]) -> Version:
        """The version of the service and of its API."""
        return Version(version=_VERSION, api=API_VERSION, commit=settings.commit or None)


async def _reaches_the_database() -> bool:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await engine.ping()
    except engine.DATABASE_ERRORS:
        return False


async def _person(request: Request[Any, Any, Any], email: str | None) -> UUID | None:
    """Whose folders are looked at. The only part of the health that not everybody may see."""
    if email is None:
        return None
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await own_person(await authenticate(request), email)
    except TimeoutError:
        raise DependencyUnavailable("It could not be found out in time who is asking.") from None


Probe = Callable[[], Awaitable[None]]


async def run_checks(probes: dict[str, Probe]) -> dict[str, Check]:
    """Run probes side by side; each that raises or takes too long has failed."""
    results = await asyncio.gather(*map(_run, probes.values()))
    return dict(zip(probes, results, strict=True))


async def _run(probe: Probe) -> Check:
    started = time.perf_counter()
    error = None
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await probe()
    except CheckFailed as failure:
        error = str(failure)
    except TimeoutError:
        error = f"no answer within {DEADLINE_SECONDS:g} s"
    except Exception as failure:
        # The text of a foreign exception may hold addresses and credentials.
        log.warning("health_check_failed", error=type(failure).__name__)
        error = f"no answer ({type(failure).__name__})"
    latency = round((time.perf_counter() - started) * 1000, 1)
    return Check(status="ok" if error is None else "failed", latency_ms=latency, error=error)


class Probes:
    """The checks of one request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings

    def all(self) -> dict[str, Probe]:
        """What the service depends on; Vault only where it is configured."""
        found: dict[str, Probe] = {
            "database": self._database,
            "temporal": self._services.workflows.ping,
            "workers": self._workers,
            "jupyterhub": self._jupyterhub,
            "vault": self._vault,
            "volumes": self._volumes,
        }
        if not self._settings.vault_url:
            del found["vault"]
        return found

    def folders_of(self, person: UUID) -> dict[str, Probe]:
        """The directories of one person."""
        threads, homes = self._services.file_threads.of(person), Path(self._settings.notebook_location)
        return {"notebooks": lambda: threads.run(_require_home, homes, person)}

    async def _database(self) -> None:
        try:
            await heartbeats.beat(Role.API)
        except (asyncpg.ReadOnlySQLTransactionError, asyncpg.TargetServerAttributeNotMatched):
            raise CheckFailed("takes no writes") from None

    async def _workers(self) -> None:
        if not await heartbeats.worker_works():
            raise CheckFailed(f"no worker was seen within {heartbeats.LATE_SECONDS:g} s")

    async def _jupyterhub(self) -> None:
        status = await _get(f"{self._settings.jupyterhub_url.rstrip('/')}/hub/api/")
        if status != 200:
            raise CheckFailed(f"answered {status}")

    async def _vault(self) -> None:
        status = await _get(f"{self._settings.vault_url.rstrip('/')}/v1/sys/health")
        if status not in _VAULT_SERVES:
            raise CheckFailed({503: "is sealed", 501: "is not initialised"}.get(status, f"answered {status}"))

    async def _volumes(self) -> None:
        await self._services.file_threads.of(_NOBODY).run(_require_roots, self._settings)


async def _get(url: str) -> int:
    # A client of its own: a health check that shares connections would share their trouble.
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS, trust_env=False) as client:
        return (await client.get(url)).status_code


def _require_roots(settings: Settings) -> None:
    for name in (directory.setting for directory in DIRECTORIES.values()):
        _require_directory(name.replace("_", " "), Path(getattr(settings, name)))


def _require_home(root: Path, person: UUID) -> None:
    try:
        Volumes().require_directory(root, person, DIRECTORIES["person"].called)
    except DomainError as error:
        raise CheckFailed(error.message) from None
    _require_directory(DIRECTORIES["person"].root, root / str(person))


def _require_directory(name: str, path: Path) -> None:
    if not path.is_dir():
        raise CheckFailed(f"the {name} directory is missing")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise CheckFailed(f"the {name} directory cannot be written")
