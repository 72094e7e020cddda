"""`nbhub completion`: scripts that complete commands and options by themselves, and names by asking for them."""

from collections import Counter
from typing import Literal

from nbhub.cli.application import MORE, NAMED, NOUNS, SIGN_IN
from nbhub.cli.grammar import named_by, options_of

NAMES = "__names"
"""What the scripts ask the program for: `nbhub __names datasets` prints the names of datasets."""
_MOST_NAMES = 1000
_PATIENCE_SECONDS = 3.0


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what completes commands, and the names of what one has, in a shell.

    For bash: nbhub completion bash >> ~/.bash_completion. For zsh the same with ~/.zshrc, after compinit. For fish:
    nbhub completion fish > ~/.config/fish/completions/nbhub.fish
    """
    known = _known()
    print(_fish(known) if shell == "fish" else _bash(known, zsh=shell == "zsh"))


def print_names(noun: str) -> None:
    """Print the names of what one may see of a noun, a line to a name; whatever goes wrong, there are none."""
    from nbhub.cli.exits import SignedOut
    from nbhub.cli.options import COMMON
    from nbhub.errors import NotebooksHubError

    if noun not in NAMED:
        return
    try:
        with COMMON.hub(retries=0, timeout=_PATIENCE_SECONDS) as hub:
            page = getattr(hub, noun).list().page(limit=_MOST_NAMES)
    except (NotebooksHubError, SignedOut):
        return
    given = [one.template.name if noun == "servers" else one.name for one in page]
    often = Counter(given)
    # What several servers are called says nothing; each has a name of its own, too.
    names = [name if often[name] == 1 else one.name for one, name in zip(page, given, strict=True)]
    # And what a terminal would obey nobody is given to type.
    print(*dict.fromkeys(name for name in names if name.isprintable()), sep="\n")


def _known() -> dict[str, list[str]]:
    """What may come after which words."""
    known = {"": [*SIGN_IN, *NOUNS, *MORE, "--help", "--version"]}
    for name, one in {**SIGN_IN, **MORE}.items():
        known[name] = options_of(one.load())
    for name, one in NOUNS.items():
        noun = one.load()
        known[name] = [*dict.fromkeys(verb.partition(" ")[0] for verb in noun.commands), "--help"]
        known |= {f"{name} {group}": [*verbs, "--help"] for group, verbs in noun.groups.items()}
        known |= {f"{name} {verb}": options_of(function) for verb, function in noun.commands.items()}
    known["completion"] = ["bash", "zsh", "fish", *known["completion"]]
    return known


def _groups() -> list[str]:
    """What comes before the second word of a verb of two."""
    return [f"{name} {group}" for name, one in NOUNS.items() for group in one.load().groups]


def _named() -> tuple[dict[str, str], dict[str, str]]:
    """Of which noun is the name that comes after a command, and after an option."""
    commands: dict[str, str] = {}
    options: dict[str, str] = {}
    for name, one in NOUNS.items():
        for verb, function in one.load().commands.items():
            first, of_options = named_by(function)
            options |= of_options
            if first:
                commands[f"{name} {verb}"] = first
    return commands, options


def _bash(known: dict[str, list[str]], *, zsh: bool) -> str:
    cases = "\n".join(f'    "{after}") words="{" ".join(words)}" ;;' for after, words in known.items())
    commands, options = _named()
    named = "\n".join(f'    "{after}") noun={noun} ;;' for after, noun in commands.items())
    by_option = "\n".join(f"    {option}) noun={noun} ;;" for option, noun in options.items())
    groups = "|".join(f'"{one}"' for one in _groups())
    first = "autoload -U bashcompinit && bashcompinit\n" if zsh else ""
    return f"""{first}_nbhub() {{
  local words="" noun="" name="" here="${{COMP_WORDS[COMP_CWORD]}}" path="" number
  for ((number = 1; number < COMP_CWORD && number < 3; number++)); do
    path="${{path:+$path }}${{COMP_WORDS[number]}}"
  done
  case "$path" in
    {groups}) if ((COMP_CWORD > 3)); then path="$path ${{COMP_WORDS[3]}}"; fi ;;
  esac
  case "$path" in
{cases}
    *) case "${{COMP_WORDS[1]}}" in
{_after_words(known)}
    esac ;;
  esac
  if ((COMP_CWORD == 3)); then case "$path" in
{named}
  esac; fi
  case "${{COMP_WORDS[COMP_CWORD-1]}}" in
{by_option}
  esac
  COMPREPLY=()
  if [[ -n "$noun" && "$here" != -* ]]; then
    here="${{here//\\\\/}}"
    while IFS= read -r name; do
      if [[ "$name" == "$here"* ]]; then COMPREPLY+=("$(printf %q "$name")"); fi
    done < <(nbhub {NAMES} "$noun" 2>/dev/null)
  else
    COMPREPLY=($(compgen -W "$words" -- "$here"))
  fi
}}
complete -o default -F _nbhub nbhub"""


def _after_words(known: dict[str, list[str]]) -> str:
    """Of commands that have no verb, what comes after a word of theirs."""
    single = [*SIGN_IN, *MORE]
    return "\n".join(f'      "{name}") words="{" ".join(known[name])}" ;;' for name in single)


def _fish(known: dict[str, list[str]]) -> str:
    lines = []
    commands, options = _named()
    groups = _groups()
    for after, words in known.items():
        verbs = [word for word in words if not word.startswith("-")]
        typed = after.split()
        if not after:
            condition = "__fish_use_subcommand"
        else:
            condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in typed)
            if verbs and (after in NOUNS or after in groups):
                condition += f"; and not __fish_seen_subcommand_from {' '.join(verbs)}"
        if verbs:
            lines.append(f"complete -c nbhub -f -n '{condition}' -a '{' '.join(verbs)}'")
        if after in commands:
            lines.append(f"complete -c nbhub -f -n '{condition}' -a '(nbhub {NAMES} {commands[after]})'")
        for word in words:
            if word.startswith("--"):
                value = f" -x -a '(nbhub {NAMES} {options[word]})'" if word in options else ""
                lines.append(f"complete -c nbhub -n '{condition}' -l {word.removeprefix('--')}{value}")
    return "\n".join(lines)
