"""Shell completion, made from the verbs and their parsers."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from provision.arguments import Parser
from provision.options import ACTIONS, VERBS

COMMANDS: Final = ("setup.sh", "vllm-ready")  # shells complete ./setup.sh by its last part
_CHECKS = Path(__file__).resolve().parents[1] / "checks"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """An option of a verb: its names, its value if it takes one, and the values it may have."""

    names: tuple[str, ...]
    value: str = ""
    choices: tuple[str, ...] = ()
    text: str = ""

    @property
    def takes_path(self) -> bool:
        return self.value in ("FILE", "FOLDER", "DIR", "EXE")


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """A verb with its options and the words that may follow it."""

    name: str
    text: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def verbs() -> tuple[Verb, ...]:
    return tuple(
        Verb(name=name, text=text, options=tuple(_options(name)), words=_words(name))
        for name, text in VERBS.items()
    )


def _options(verb: str) -> Iterator[Option]:
    for action in Parser(verb)._actions:  # noqa: SLF001 - argparse has no public list
        if action.option_strings:
            value = "" if action.nargs == 0 else action.metavar or "VALUE"
            yield Option(
                names=tuple(action.option_strings),
                value=value if isinstance(value, str) else value[0],
                choices=tuple(action.choices or ()),
                text=_plain(action),
            )


def _plain(action: argparse.Action) -> str:
    return (action.help or "").replace("show this help message and exit", "show the options")


def _words(verb: str) -> tuple[str, ...]:
    if verb == "check":
        return ("list", *sorted(path.stem for path in _CHECKS.glob("[!_]*.py")))
    if verb == "completion":
        return tuple(SHELLS)
    return ACTIONS.get(verb, ())


def bash() -> str:
    cases = "\n".join(
        f"    {verb.name}) words={shlex.quote(' '.join((*_names(verb), *verb.words)))} ;;"
        for verb in verbs()
    )
    values = "\n".join(
        f"    {'|'.join(f'{verb.name}:{name}' for name in option.names)})"
        f' COMPREPLY=($(compgen -W {shlex.quote(" ".join(option.choices))} -- "$word")); return ;;'
        for verb in verbs()
        for option in verb.options
        if option.choices
    )
    paths = "|".join(
        sorted({name for v in verbs() for o in v.options if o.takes_path for name in o.names})
    )
    return f"""\
# bash completion of vllm-ready: eval "$(./setup.sh completion bash)"
_vllm_ready_files() {{ # only here: else a folder named like a verb would take its place
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$1"))
}}
_vllm_ready() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} verb=up words each
    local verbs={shlex.quote(" ".join(VERBS))}
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in {"|".join(VERBS)}) verb=$each; break ;; esac
    done
    case $verb:$before in
{values}
    esac
    case $before in {paths}) _vllm_ready_files "$word"; return ;; esac
    case $verb in
{cases}
    esac
    [[ " ${{COMP_WORDS[*]:1:COMP_CWORD-1}} " == *" $verb "* ]] || words="$words $verbs help"
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ $word == -* || ${{#COMPREPLY[@]}} -gt 0 ]] || _vllm_ready_files "$word"
}}
complete -F _vllm_ready {" ".join(COMMANDS)}
"""


def _names(verb: Verb) -> list[str]:
    return [name for option in verb.options for name in option.names]


def zsh() -> str:
    lines = [
        "#compdef " + " ".join(COMMANDS),
        "# zsh completion of vllm-ready: source <(./setup.sh completion zsh), after compinit",
        "_vllm_ready() {",
        "    local verb=up each",
        "    local -a verbs",
        f"    verbs=({' '.join(shlex.quote(f'{verb.name}:{verb.text}') for verb in verbs())})",
        "    for each in ${words[2,CURRENT-1]}; do",
        "        if (( ${verbs[(I)$each:*]} )); then verb=$each; break; fi",
        "    done",
        "    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then _describe verb verbs; return; fi",
        "    case $verb in",
    ]
    for verb in verbs():
        specs = [shlex.quote(spec) for option in verb.options for spec in _specs(option)]
        words = f"*:word:({' '.join(verb.words)})" if verb.words else "*:file:_files"
        lines.append(f"    {verb.name}) _arguments {' '.join(specs)} {shlex.quote(words)} ;;")
    return "\n".join([*lines, "    esac", "}", f"compdef _vllm_ready {' '.join(COMMANDS)}", ""])


def _specs(option: Option) -> Iterator[str]:
    values = ""
    if option.value or option.choices:
        action = (
            f"({' '.join(option.choices)})"
            if option.choices
            else "_files"
            if option.takes_path
            else ""
        )
        values = f":{option.value.lower()}:{action}"
    for name in option.names:
        yield f"{name}[{_escaped(option.text)}]{values}"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[").replace("]", r"\]").replace(":", r"\:")


def fish() -> str:
    lines = ["# fish completion of vllm-ready: ./setup.sh completion fish | source"]
    for command in COMMANDS:
        start = f"complete -c {command}"
        lines.append(f"{start} -n __fish_use_subcommand -f -a help -d 'show the help'")
        for verb in verbs():
            lines.append(
                f"{start} -n __fish_use_subcommand -f -a {verb.name} -d {_fish(verb.text)}"
            )
            seen = f"{start} -n '__fish_seen_subcommand_from {verb.name}'"
            if verb.words:
                lines.append(f"{seen} -f -a {_fish(' '.join(verb.words))}")
            lines += [f"{seen} {_fish_option(option)}" for option in verb.options]
    return "\n".join([*lines, ""])


def _fish_option(option: Option) -> str:
    flags = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    )
    values = (
        f" -x -a {_fish(' '.join(option.choices))}"
        if option.choices
        else " -r"
        if option.value
        else ""
    )
    return f"{flags}{values} -d {_fish(option.text)}"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Final[dict[str, Callable[[], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
