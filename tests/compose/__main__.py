"""`make compose-test`: docker-compose.yml on an engine of its own, as deploy/README.md says, and what it survives.

Needs root, Debian's docker.io, debootstrap, iptables, maven and unzip, Go and npm. What is got and built stays in the
cache; everything that runs ends with it. docs/deployment.md has the log of a run.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from models.domain.process import leave
from stack import demo, tools
from stack.notebook import Notebook
from tests.compose import people
from tests.compose.deployment import API, KEYCLOAK, VOLUMES, Deployment, DeploymentFailed, until
from tests.compose.engine import Engine, EngineFailed
from tests.compose.images import ImageFailed, Images

Json = dict[str, Any]

# Debian's own: a newer client needs a plugin to build.
CLIENT = "/usr/bin/docker"
PACKAGES = {
    "dockerd": "docker.io",
    CLIENT: "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "mvn": "maven",
    "unzip": "unzip",
    "go": "golang",
    "npm": "npm",
}
ALICE = demo.ALICE
PEOPLE = {demo.ALICE: True, demo.BOB: False, demo.CAROL: False}
UP = "docker compose up --detach --wait --scale worker=3"
UPGRADE = (
    "COMMIT=$(git rev-parse HEAD) docker compose build migrate",
    "docker compose up --detach --wait --scale worker=3 api worker",
)
# What people's programs may not reach: of JupyterHub's own container, and of the others.
NOT_REACHED = {
    *(("127.0.0.1", 8000), ("127.0.0.1", 8001), ("127.0.0.1", 8003)),
    *(("keycloak", 8180), ("api", 8002), ("vault", 8200), ("keycloak", 9000), ("keycloak", 7800), ("vault", 8201)),
    *(("postgres", 5432), ("temporal", 7233), ("temporal-ui", 8080)),
}
HEALTH_CHECKS = 20

_begun = time.monotonic()


def say(text: str) -> None:
    """One line of the log, with the time since the start."""
    print(f"{time.monotonic() - _begun:7.0f} s  {text}", flush=True)  # noqa: T201


@contextmanager
def step(what: str) -> Iterator[None]:
    """One step, told when it is done, with the time that it took."""
    begun = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - begun:.0f} s")


def expect(true: object, what: str) -> None:
    """Raise `DeploymentFailed` unless it is true."""
    if not true:
        raise DeploymentFailed(what)


class _Deployed:
    """Where the demo's story is told here."""

    api = API

    async def token(self, email: str) -> str:
        return await people.api_token(API, email)

    async def notebook(self, email: str, url: str) -> Notebook:
        return await people.notebook(email, url)


class Person:
    """Somebody signed in, who signs in again when the token has ended."""

    def __init__(self, email: str) -> None:
        self.email = email
        self._token = "none-yet"

    async def call(self, method: str, path: str, **more: Any) -> Any:
        """The answer of the API, which has waited for the operation; raises `DeploymentFailed`."""
        async with httpx.AsyncClient(base_url=API, timeout=120) as client:
            for _ in range(2):
                headers = {"Authorization": f"Bearer {self._token}", "Prefer": "wait=90"}
                answer = await client.request(method, path, headers=headers, **more)
                if answer.status_code != 401:
                    break
                self._token = await people.again(lambda: people.api_token(API, self.email))
        expect(answer.is_success, f"{method} {path} answers {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None


class Standing:
    """A server of Alice's with a dataset and a secret, which is to stand over what happens to the containers."""

    def __init__(self) -> None:
        self.alice = Person(ALICE)
        self._value = secrets.token_urlsafe(24)
        self.server: Json = {}
        self._kernel = ""

    async def make(self) -> None:
        alice = self.alice
        dataset = await alice.call("POST", "/datasets", json={"name": f"standing-{secrets.token_hex(4)}"})
        secret = await alice.call(
            "POST", "/secrets", json={"secretName": "STANDING", "type": "env_var", "value": self._value}
        )
        template = await alice.call(
            "POST",
            "/template",
            json={
                "name": "standing",
                "description": "",
                "type": "user",
                "applicationType": "jupyterlab",
                "hardware": "cpuSmall",
                "public": False,
                "datasets": [dataset["_id"]],
                "secrets": [secret["_id"]],
            },
        )
        self.server = await alice.call("PUT", "/servers", params={"templateId": template["_id"]})
        await self.start()

    async def start(self) -> None:
        """Start it, and leave something in the memory of a kernel."""
        await self.alice.call("PUT", f"/servers/{self.server['_id']}/start")
        code = "kept = 42\nimport os, hashlib\nprint(hashlib.sha256(os.environ['STANDING'].encode()).hexdigest())"
        async with await people.notebook(ALICE, self.server["url"]) as notebook:
            self._kernel = notebook.kernel_id or ""
            printed = await notebook.run(code)
        expect(hashlib.sha256(self._value.encode()).hexdigest() in printed, "the secret is not in the server")

    async def stands(self) -> None:
        """Raise unless the kernel has what it had in its memory, and new work is done."""
        again = people.again(lambda: people.notebook(ALICE, self.server["url"], self._kernel))
        async with await again as notebook:
            expect("42" in await notebook.run("print(kept)"), "the kernel has forgotten")
        made = await self.alice.call("POST", "/datasets", json={"name": f"after-{secrets.token_hex(4)}"})
        seen = await self.alice.call("GET", f"/datasets/{made['_id']}")
        expect(seen["_id"] == made["_id"], "a dataset that was made is not there")

    async def ended(self) -> str:
        """Wait until it is known that the server ended; why, as its owner is told."""
        limit = time.monotonic() + 180
        while (seen := await self.alice.call("GET", f"/servers/{self.server['_id']}"))["status"] != "stopped":
            expect(time.monotonic() < limit, f"the server that ended is {seen['status']} after 180 s")
            await asyncio.sleep(1)
        expect(seen.get("last_error"), "a server that was killed is stopped without a last_error")
        return f"{seen['last_error']['code']}: {seen['last_error']['message']}"

    async def reached(self, addresses: Json) -> set[tuple[str, int]]:
        """What of `NOT_REACHED` a program in the server connects to; it is told addresses, as it can ask for none."""
        code = f"""
import json, socket
reached = []
for host, port in {sorted(NOT_REACHED)}:
    try:
        socket.create_connection(({addresses!r}.get(host, host), port), timeout=2).close()
        reached.append((host, port))
    except OSError:
        pass
print(json.dumps(reached))
"""
        async with await people.notebook(ALICE, self.server["url"], self._kernel) as notebook:
            return {(host, port) for host, port in json.loads(await notebook.run(code))}

    async def kept(self) -> Json:
        """What Alice has."""
        lists = {
            path: await self.alice.call("GET", path) for path in ("/datasets", "/secrets", "/templates", "/servers")
        }
        return {path: sorted(one["_id"] for one in listed) for path, listed in lists.items()}


async def bring_up(deployment: Deployment) -> list[str]:
    """From nothing to the story; the unseal keys of Vault. Raises `DeploymentFailed`."""
    with step("the secrets are made, the images built"):
        deployment.documented("cp deploy/.env.example deploy/.env")
        with (deployment.directory / "deploy" / ".env").open("a") as file:
            file.write("NBHUB_REVOKE_GRACE=3\n")
        deployment.documented("sudo deploy/make-secrets.sh")
        deployment.documented("COMMIT=$(git rev-parse HEAD) docker compose build")
    with step("PostgreSQL, killed in its first initialisation, began again"):
        deployment.cut_off_first_initialisation()
    deployment.compose("down", "--volumes")
    with step("up --wait from empty volumes, three workers"):
        deployment.documented(UP)
    expect(len(deployment.containers("worker")) == 3, "there are not three workers")
    sealed = deployment.health()
    expect(sealed.status_code == 503 and "vault" in sealed.text, f"/healthcheck of a sealed Vault: {sealed.text}")
    with step("Vault initialised, unsealed and set up"):
        keys, root = deployment.init_vault()
        deployment.unseal_vault(keys)
        deployment.documented("docker compose run --rm -e VAULT_TOKEN vault-setup", VAULT_TOKEN=root)
        deployment.documented("docker compose exec -e VAULT_TOKEN vault vault token revoke -self", VAULT_TOKEN=root)
        deployment.well()
    deployment.documented("docker compose ps")
    deployment.documented("curl http://localhost:8002/healthcheck")
    version = deployment.version()
    say(f"GET /version: {version}")
    expect(len(version.get("commit", "")) == 40, "/version does not tell the commit")
    password = (deployment.directory / "deploy/secrets/keycloak-admin-password").read_text().strip()
    await people.make(KEYCLOAK, password, PEOPLE)
    with step("a sign-in that ends at a port of the person's own machine, as that of `nbhub login`"):
        expect(await people.api_token(API, ALICE, "http://127.0.0.1:54321/callback"), "no token")
    with step("the story, through Keycloak's forms and the published ports"):
        await demo.tell(_Deployed())
    return keys


async def survive(deployment: Deployment, keys: list[str]) -> None:
    """What happens to a deployment over the years, with a server that is to stand. Raises `DeploymentFailed`."""
    standing = Standing()
    with step("a server that is to stand"):
        await standing.make()
    resolve = "import json, socket; print(json.dumps({name: socket.gethostbyname(name) for name in %s}))"
    beside = deployment.compose("exec", "-T", "jupyterhub", "python", "-c", resolve % ["keycloak", "api", "vault"])
    reached = await standing.reached(json.loads(beside))
    expect(reached == set(), f"people's programs reach {sorted(reached)}")
    say("people's programs reach neither each other's servers nor any part beside them")
    with step("Vault's audit log put aside"):
        deployment.documented("docker compose exec --user vault vault mv /vault/logs/audit.log /vault/logs/audit.log.1")
        deployment.documented("docker compose exec vault sh -c 'kill -HUP 1'")
        until(
            lambda: "audit.log\n" in deployment.compose("exec", "-T", "vault", "ls", "/vault/logs"), "a new log began"
        )

    for service in (one for one in deployment.services() if one != "jupyterhub"):
        for container in deployment.containers(service):
            seconds = deployment.kill(container)
            if service == "vault":
                deployment.unseal_vault(keys)
            deployment.well()
            await standing.stands()
            say(f"kill -9 of {service}: healthy after {seconds:.0f} s, the server stands, work is done")

    with step(f"{HEALTH_CHECKS} health checks of a worker, none crashed"):
        line = f"for i in $(seq {HEALTH_CHECKS}); do python deploy/worker_health.py || echo check $i ends with $?; done"
        expect(not (said := deployment.compose("exec", "-T", "worker", "sh", "-c", line).strip()), said)
    lines = deployment.compose("logs", "--no-log-prefix", "--no-color", "api", "worker").splitlines()
    others = [line for line in lines if line.strip() and not _is_json(line)]
    expect(not others, f"no JSON in the log: {others[:5]}")
    say(f"{len(lines)} lines of API and workers are JSON")

    with step("two APIs"):
        _append(deployment, "deploy/.env", "API_PORTS=8002-8003\n")
        deployment.compose("up", "--detach", "--wait", "--scale", "worker=3", "--scale", "api=2", "api", "worker")
        answers = [deployment.version(port) for port in (8002, 8003)]
        expect(answers[0] == answers[1], f"two APIs: {answers}")
        await standing.stands()
        # What a newer file says of a name holds.
        _append(deployment, "deploy/.env", "API_PORTS=8002\n")

    hub = deployment.containers("jupyterhub")
    with step("an upgrade that leaves JupyterHub alone"):
        before = deployment.containers("api") + deployment.containers("worker")
        _append(deployment, "models/domain/ids.py", "\n# A newer version.\n")
        for command in UPGRADE:
            deployment.documented(command)
        after = deployment.containers("api") + deployment.containers("worker")
        expect(len(after) == 4 and not set(before) & set(after), "API and workers are the old ones")
        expect(deployment.containers("jupyterhub") == hub, "JupyterHub was made anew")
        await standing.stands()

    seconds = deployment.kill(hub[0])
    say(f"kill -9 of jupyterhub: healthy after {seconds:.0f} s; its servers: {await standing.ended()}")
    with step("the server started again"):
        await standing.start()
        await standing.stands()
    with step("an upgrade with JupyterHub"):
        deployment.documented("COMMIT=$(git rev-parse HEAD) docker compose build")
        deployment.documented(UP)
        expect(deployment.containers("jupyterhub") != hub, "JupyterHub was left alone")
    say(f"its servers: {await standing.ended()}")
    await standing.start()

    with step("down and up --wait"):
        kept = await standing.kept()
        deployment.compose("down")
        deployment.documented(UP)
        deployment.unseal_vault(keys)
        deployment.well()
    expect(await standing.kept() == kept, "something was lost")
    say(f"nothing was lost; its servers: {await standing.ended()}")
    with step("the server started again, with its secret"):
        await standing.start()
        await standing.stands()


def _append(deployment: Deployment, file: str, text: str) -> None:
    with (deployment.directory / file).open("a") as opened:
        opened.write(text)


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def main() -> int:
    """Run it all; the exit code tells. Nothing that it started runs when it ends."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    if os.geteuid() != 0 or missing:
        say(f"compose-test: as root, and with {', '.join(sorted(missing)) or 'nothing more'}: apt-get install")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tools.cache() / "compose-test"
    try:
        with Engine(directory / "engine", CLIENT) as engine:
            images = Images(engine, directory, say)
            with step("images"):
                engine.install_compose(images.compose())
                images.make_all()
            say(
                f"engine {engine.docker('version', '--format', '{{.Server.Version}}')}, "
                f"Compose {engine.docker('compose', 'version', '--short')}"
            )
            deployment = Deployment(engine, CLIENT, directory)
            try:
                asyncio.run(survive(deployment, asyncio.run(bring_up(deployment))))
            except BaseException:
                _keep_logs(deployment, directory / "failed.log")
                raise
            finally:
                with step("down --volumes"):
                    deployment.compose("down", "--volumes", "--remove-orphans")
            left = [one for one in engine.docker("volume", "ls", "--quiet").split() if not one.startswith(VOLUMES)]
            expect(not left, f"volumes without a name are left behind: {left}")
    except (
        DeploymentFailed,
        EngineFailed,
        ImageFailed,
        people.SignInFailed,
        demo.DemoFailed,
        httpx.HTTPError,
    ) as failure:
        say(f"FAILED: {failure!r}" if isinstance(failure, httpx.HTTPError) else f"FAILED: {failure}")
        return 1
    say("passed")
    return 0


def _keep_logs(deployment: Deployment, file: Any) -> None:
    try:
        file.write_text(deployment.compose("ps", "--all") + deployment.compose("logs", "--no-color", "--timestamps"))
    except DeploymentFailed as failure:
        file.write_text(str(failure))
    say(f"the logs of the containers are in {file}")


if __name__ == "__main__":
    leave(main())
