"""Imports go one way: the contracts of `pyproject.toml` hold."""

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_the_import_contracts_hold(capsys: object) -> None:
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS
