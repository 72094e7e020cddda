"""`nbhub completion`: scripts that complete commands and options, with no call of the program."""

from typing import Literal

from nbhub.cli.application import MORE, NOUNS, SIGN_IN
from nbhub.cli.grammar import options_of


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what completes commands in a shell.

    For bash: nbhub completion bash >> ~/.bash_completion. For zsh the same with ~/.zshrc, after compinit. For fish:
    nbhub completion fish > ~/.config/fish/completions/nbhub.fish
    """
    known = _known()
    print(_fish(known) if shell == "fish" else _bash(known, zsh=shell == "zsh"))


def _known() -> dict[str, list[str]]:
    """What may come after which words."""
    known = {"": [*SIGN_IN, *NOUNS, *MORE, "--help", "--version"]}
    for name, one in {**SIGN_IN, **MORE}.items():
        known[name] = options_of(one.load())
    for name, one in NOUNS.items():
        noun = one.load()
        known[name] = [*noun.commands, "--help"]
        known |= {f"{name} {verb}": options_of(function) for verb, function in noun.commands.items()}
    known["completion"] = ["bash", "zsh", "fish", *known["completion"]]
    return known


def _bash(known: dict[str, list[str]], *, zsh: bool) -> str:
    cases = "\n".join(f'    "{after}") words="{" ".join(words)}" ;;' for after, words in known.items())
    first = "autoload -U bashcompinit && bashcompinit\n" if zsh else ""
    return f"""{first}_nbhub() {{
  local words="" here="${{COMP_WORDS[COMP_CWORD]}}" path="" number
  for ((number = 1; number < COMP_CWORD && number < 3; number++)); do
    path="${{path:+$path }}${{COMP_WORDS[number]}}"
  done
  case "$path" in
{cases}
    *) case "${{COMP_WORDS[1]}}" in
{_after_words(known)}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$here"))
}}
complete -o default -F _nbhub nbhub"""


def _after_words(known: dict[str, list[str]]) -> str:
    """Of commands that have no verb, what comes after a word of theirs."""
    single = [*SIGN_IN, *MORE]
    return "\n".join(f'      "{name}") words="{" ".join(known[name])}" ;;' for name in single)


def _fish(known: dict[str, list[str]]) -> str:
    lines = []
    for after, words in known.items():
        verbs = [word for word in words if not word.startswith("-")]
        if not after:
            condition = "__fish_use_subcommand"
        else:
            noun, _, verb = after.partition(" ")
            condition = f"__fish_seen_subcommand_from {noun}"
            if verb:
                condition += f"; and __fish_seen_subcommand_from {verb}"
            elif verbs and noun in NOUNS:
                condition += f"; and not __fish_seen_subcommand_from {' '.join(verbs)}"
        if verbs:
            lines.append(f"complete -c nbhub -f -n '{condition}' -a '{' '.join(verbs)}'")
        lines += [
            f"complete -c nbhub -n '{condition}' -l {word.removeprefix('--')}"
            for word in words
            if word.startswith("--")
        ]
    return "\n".join(lines)
