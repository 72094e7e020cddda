"""What is ordered of JupyterHub for a start, in the words of the signed spec."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from integrations import lmod
from models.domain.kinds import DIRECTORIES
from models.domain.server_spec import Mount, SecretMount, ServerSpec
from models.domain.settings import Settings
from models.records.mounts import Claim
from models.records.server_settling import ServerPlan

DATASETS, GROUPS, MODULES = PurePosixPath("/opt/datasets"), PurePosixPath("/opt/groups"), PurePosixPath("/opt/modules")
"""Where servers see them."""

# A worker that was frozen must not start anything when it wakes: its order has expired by then.
_SECONDS = 120


def spec_of(plan: ServerPlan, claims: list[Claim], secrets: list[SecretMount], settings: Settings) -> ServerSpec:
    """The whole of it, for a server that may hold the claims, and secrets of which it is handed the tokens."""
    now = int(time.time())
    return ServerSpec(
        server_id=str(plan.server_id),
        hub_user=plan.hub_user,
        hub_name=plan.hub_name,
        generation=plan.generation,
        person_id=str(plan.owner_id),
        application=plan.template.application_type,
        hardware=plan.template.hardware,
        file_path=plan.template.file_path or "",
        home=str(DIRECTORIES["person"].location(settings) / str(plan.owner_id)),
        mounts=tuple(
            mount
            for kind, mounted in MOUNTED.items()
            for mount in mounted([claim for claim in claims if claim.kind == kind], settings)
        ),
        # In the template's order.
        modules=tuple(f"{claim.name}/{claim.version}" for claim in claims if claim.kind == "module"),
        secrets=tuple(secrets),
        issued_at=now,
        expires_at=now + _SECONDS,
    )


def _datasets(claims: list[Claim], settings: Settings) -> Iterator[Mount]:
    homonyms = Counter(claim.name for claim in claims)
    for claim in claims:
        # On a clash of names the server owner's own keeps the name.
        name = claim.name if claim.own or homonyms[claim.name] == 1 else f"{claim.name}--{claim.owner}"
        yield _directory(claim, settings, DATASETS / name, read_only=not claim.writes)


def _modules(claims: list[Claim], settings: Settings) -> Iterator[Mount]:
    # Those of the server's owner are found first.
    for claim in sorted(claims, key=lambda claim: not claim.own):
        yield _directory(claim, settings, MODULES / lmod.BINARIES / str(claim.object), read_only=not claim.writes)
        # The modulefile alone: that of another module beside it stays unseen.
        file = Path(claim.name, lmod.file_name(claim.version))
        source = Path(settings.module_location, lmod.MODULEFILES, str(claim.owner_id), file)
        yield _mount(claim, source, MODULES / lmod.MODULEFILES / claim.owner / file, read_only=True)


def _groups(claims: list[Claim], settings: Settings) -> Iterator[Mount]:
    return (_directory(claim, settings, GROUPS / claim.name, read_only=False) for claim in claims)


MOUNTED: dict[str, Callable[[list[Claim], Settings], Iterator[Mount]]] = {
    "dataset": _datasets,
    "module": _modules,
    "group": _groups,
}
"""Where a server sees what it may hold of a kind."""


def _directory(claim: Claim, settings: Settings, target: PurePosixPath, *, read_only: bool) -> Mount:
    """The directory of what is held."""
    source = DIRECTORIES[claim.kind].location(settings) / str(claim.object)
    return _mount(claim, source, target, read_only=read_only)


def _mount(claim: Claim, source: Path, target: PurePosixPath, *, read_only: bool) -> Mount:
    return Mount(
        source=str(source), target=str(target), read_only=read_only, object_id=str(claim.object), kind=claim.kind
    )
