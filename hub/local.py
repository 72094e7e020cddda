"""Plain processes of this machine, where a setting says so: no isolation, so nothing that would need it."""

import os
from pathlib import Path, PurePosixPath

from hub.launch import LaunchPlan
from hub.machine import SERVER_ID_VARIABLE
from hub.offered import check_offered
from hub.order import Order, OrderRefused, resolve_source
from hub.program import DASHBOARD, SEARCH_PATH, program_for
from hub.recorded import RecordedSpawner
from models.domain.profiles import HOME


class LocalSpawner(RecordedSpawner):
    """Spawns as the hub's own user."""

    def plan(self, order: Order) -> LaunchPlan:
        settings, spec = self.hub_settings, order.spec
        if spec.mounts or spec.modules:
            raise OrderRefused(
                "sandbox-missing",
                "this JupyterHub starts servers without a sandbox (bubblewrap): those with datasets, modules or groups "
                "are refused",
            )
        check_offered(order, "local")
        if os.geteuid() == 0:
            self.log.warning("Without a sandbox, started as root: people's code runs as root of this machine")
        home = resolve_source(spec.home, HOME, settings.allowed_roots)
        self.mem_limit, self.cpu_limit = order.hardware.memory_bytes, order.hardware.cpu
        self.notebook_dir, self.default_url = str(home), order.application.default_url
        program = program_for(order, self.server.base_url, settings.lmod_init, PurePosixPath(DASHBOARD.parent))
        return LaunchPlan(
            data_dir=settings.data_dir,
            server_id=spec.server_id,
            hub_user=self.user.name,
            hub_name=self.name,
            generation=spec.generation,
            spawner="local",
            port=self.port,
            program=str(Path("/usr/bin/env")),
            # Jupyter wants to be told that it may run as root; whoever started the hub so chose this.
            arguments=("env", *program.command, *(["--allow-root"] if os.geteuid() == 0 else [])),
            environment={
                **self.get_env(),
                "HOME": str(home),
                "LANG": os.environ.get("LANG", "C.UTF-8"),
                "PATH": SEARCH_PATH,
                SERVER_ID_VARIABLE: spec.server_id,
                **program.environment,
            },
            directory=str(home),
            limits=self.limits(order),
        )
