"""What is ordered of JupyterHub for a start, in the words of the signed spec."""

import time
from collections import Counter
from pathlib import Path, PurePosixPath

from integrations import lmod
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
        home=str(Path(settings.notebook_location) / str(plan.owner_id)),
        mounts=_mounts(claims, settings),
        # In the template's order.
        modules=tuple(f"{claim.name}/{claim.version}" for claim in claims if claim.kind == "module"),
        secrets=tuple(secrets),
        issued_at=now,
        expires_at=now + _SECONDS,
    )


def _mounts(claims: list[Claim], settings: Settings) -> tuple[Mount, ...]:
    """Where a server sees what it may hold."""
    return (
        *_datasets([claim for claim in claims if claim.kind == "dataset"], settings),
        *_modules(_in_order(claims), settings),
        *(
            Mount(
                source=str(Path(settings.group_location) / str(claim.object)),
                target=str(GROUPS / claim.name),
                read_only=False,
                object_id=str(claim.object),
                kind=claim.kind,
            )
            for claim in claims
            if claim.kind == "group"
        ),
    )


def _in_order(claims: list[Claim]) -> list[Claim]:
    """Modules, the server owner's own first: theirs are found first."""
    return sorted((claim for claim in claims if claim.kind == "module"), key=lambda claim: not claim.own)


def _datasets(claims: list[Claim], settings: Settings) -> list[Mount]:
    """On a clash of names the server owner's own keeps the name."""
    names = Counter(claim.name for claim in claims)
    return [
        Mount(
            source=str(Path(settings.dataset_location) / str(claim.object)),
            target=str(DATASETS / claim.name) + (f"--{claim.owner}" if names[claim.name] > 1 and not claim.own else ""),
            read_only=not claim.writes,
            object_id=str(claim.object),
            kind=claim.kind,
        )
        for claim in claims
    ]


def _modules(claims: list[Claim], settings: Settings) -> list[Mount]:
    """The directory of the binaries, and the modulefile alone: that of another module beside it stays unseen."""
    location = Path(settings.module_location)
    made = []
    for claim in claims:
        file = PurePosixPath(claim.name, lmod.file_name(claim.version))
        made += [
            Mount(
                source=str(location / lmod.BINARIES / str(claim.object)),
                target=str(MODULES / lmod.BINARIES / str(claim.object)),
                read_only=not claim.writes,
                object_id=str(claim.object),
                kind=claim.kind,
            ),
            Mount(
                source=str(location / lmod.MODULEFILES / str(claim.owner_id) / file),
                target=str(MODULES / lmod.MODULEFILES / claim.owner / file),
                read_only=True,
                object_id=str(claim.object),
                kind=claim.kind,
            ),
        ]
    return made
