"""Keeps the OpenAPI document in the repository: `python -m api.document` writes it to `docs/openapi.json`."""

import sys
from pathlib import Path

import msgspec

from api.app import create_app
from api.http.openapi import document
from models.domain.settings import Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


def write(path: Path = DOCUMENT) -> None:
    """Write the document of the application to a file."""
    path.write_bytes(rendered())


def rendered() -> bytes:
    """The document of the application as it is kept in the repository: indented, with sorted keys."""
    schema = document(create_app(Settings(database_url="postgresql:///unused")))
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2) + b"\n"


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
