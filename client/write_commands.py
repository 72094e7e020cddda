"""Writes what `docs/commands.md` has of the program itself, the help of every command, below its mark."""

from pathlib import Path

from nbhub.cli.application import MORE, NOUNS, SIGN_IN, help_text, noun_help
from nbhub.cli.grammar import help_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
MARK = "<!-- From here on: client/write_commands.py -->\n"


def generate(page: str) -> str:
    """The page with the help as it is now."""
    before, mark, _ = page.partition(MARK)
    return before + mark + "\n" + "\n".join(_helps())


def _helps() -> list[str]:
    lines = _shown("nbhub", help_text())
    for name, noun in NOUNS.items():
        verbs = noun.load()
        lines += _shown(f"nbhub {name}", noun_help(verbs))
        for verb, function in verbs.commands.items():
            lines += _shown(f"nbhub {name} {verb}", help_of(f"nbhub {name} {verb}", function))
    for name, one in {**SIGN_IN, **MORE}.items():
        lines += _shown(f"nbhub {name}", help_of(f"nbhub {name}", one.load()))
    return lines


def _shown(path: str, text: str) -> list[str]:
    return [f"{'##' if path == 'nbhub' else '###'} {path}", "", "```text", text, "```", ""]


if __name__ == "__main__":
    PAGE.write_text(generate(PAGE.read_text()))
