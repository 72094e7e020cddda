"""Health checks of the deployment: what is called healthy works."""

import importlib.util
import os
import socket
from pathlib import Path

import msgspec
import pytest

from models.database import engine
from models.domain.settings import Settings
from models.ledger import heartbeats
from models.ledger.heartbeats import Role
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, environment_of, run


async def test_worker_is_healthy_while_one_of_its_host_is_seen(postgres: str, made: Path) -> None:
    spec = importlib.util.spec_from_file_location("worker_health", DEPLOY / "worker_health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = msgspec.structs.replace(Settings.from_environment(environment_of("worker", made)), database_url=postgres)
    async with engine.pool(settings):
        await heartbeats.beat(Role.WORKER)

    assert await module.works(settings, socket.gethostname()) is True
    assert await module.works(settings, "elsewhere") is False


@pytest.mark.parametrize(("status", "healthy"), [(0, True), (2, True), (1, False), (127, False)])
def test_vault_is_healthy_when_it_answers_sealed_or_not(status: int, healthy: bool, tmp_path: Path) -> None:
    program = tmp_path / "vault"
    program.write_text(f'#!/bin/sh\n[ "$*" = status ]\nexit {status}\n')
    program.chmod(0o755)
    kind, line = COMPOSE["services"]["vault"]["healthcheck"]["test"]

    done = run("sh", "-c", line.replace("$$", "$"), PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert kind == "CMD-SHELL"
    assert (done.returncode == 0) is healthy
