"""Reads docs/openapi.json with the tools that others read it with: `make api-lint`.

Redocly and Spectral, with their reviewed exceptions in `redocly.yaml` and `spectral.yaml`; `openapi-typescript`, whose
types have to be what `tsc --strict` takes; and two generators of Python clients, which may warn of nothing, and whose
modules have to be importable. All are pinned: `package-lock.json`, `generators.txt`.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from api.document import DOCUMENT
from stack import programs, tools
from stack.progress import Progress

HERE = Path(__file__).parent


async def commands(directory: Path) -> list[tuple[str, list[str]]]:
    """What has to succeed, in this order, by its name; what is made goes to a directory."""
    about = "what docs/openapi.json is read with (about 130 MB)"
    packages = (await tools.installed(HERE, "api-lint", about, Progress())) / "node_modules"
    node, uv = [str((await programs.find(name)).path) for name in ("node", "uv")]
    types, module, document = directory / "api.d.ts", directory / "generated.py", str(DOCUMENT)
    python = [uv, "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with-requirements"]
    python.append(str(HERE / "generators.txt"))
    spectral = [str(packages / "@stoplight/spectral-cli/dist/index.js"), "lint", "--fail-severity=hint"]
    client = ["openapi-python-client", "generate", "--fail-on-warning", "--meta=none"]
    models = ["datamodel-codegen", "--input-file-type=openapi", "--formatters=builtin"]
    models.append("--output-model-type=pydantic_v2.BaseModel")
    redocly = [str(packages / "@redocly/cli/bin/cli.js"), "lint"]
    check = ["python", "-W", "error", "-c"]
    return [
        (
            "Redocly",
            [node, *redocly, f"--config={HERE}/redocly.yaml", document],
        ),
        ("Spectral", [node, *spectral, f"--ruleset={HERE}/spectral.yaml", document]),
        ("openapi-typescript", [node, str(packages / "openapi-typescript/bin/cli.js"), document, f"--output={types}"]),
        ("tsc --strict", [node, str(packages / "typescript/bin/tsc"), "--strict", "--noEmit", str(types)]),
        ("openapi-python-client", [*python, *client, f"--path={document}", "--output-path=generated_client"]),
        ("the client that it makes", [*python, *check, _IMPORT_CLIENT]),
        (
            "datamodel-code-generator",
            [
                *python,
                *models,
                "--output-model-type=pydantic_v2.BaseModel",
                f"--input={document}",
                f"--output={module}",
            ],
        ),
        ("the models that it makes", [*python, *check, "import generated"]),
    ]


_IMPORT_CLIENT = """
import importlib, pathlib
for path in sorted(pathlib.Path("generated_client").rglob("*.py")):
    importlib.import_module(".".join(path.with_suffix("").parts))
"""


async def main() -> int:
    """Run all of them, and say of each whether it found anything; how many did."""
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        for name, command in await commands(Path(made)):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=made, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output, _ = await process.communicate()
            clean = process.returncode == 0
            failed += not clean
            sys.stdout.write(f"{name}: {'clean' if clean else output.decode()}\n")
            sys.stdout.flush()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
