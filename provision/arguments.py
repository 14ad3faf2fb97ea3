"""The command line as a verb and its options."""

from __future__ import annotations

import argparse
import sys

from provision.errors import WrongUsage, nearest
from provision.options import ACTIONS, PROGRAM, VERBS, add_options, text_for

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    from typing import NoReturn

DEFAULT = "up"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """A help formatter of fixed width, so that the docs can show its output."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class Parser(argparse.ArgumentParser):
    """The parser of one verb. It suggests the nearest known word and accepts no abbreviation."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            prog=f"{PROGRAM} {verb}",
            description=VERBS[verb],
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        add_options(verb, self)

    @property
    def words(self) -> list[str]:
        return [*self._option_string_actions]

    @property
    def with_value(self) -> set[str]:
        """Return the options whose value is the next word."""
        return {name for name, action in self._option_string_actions.items() if action.nargs != 0}

    def error(self, message: str) -> NoReturn:
        what, _, choices = message.partition(" (choose from")
        wrong = what.rpartition(": ")[2].split(" ")[0].strip("'")
        if choices:
            known = [word.strip(" ')") for word in choices.split(",")]
            hint = nearest(wrong, known) or f"possible: {', '.join(known)}"
        else:
            hint = _of_other_verb(wrong) or nearest(wrong, [*self.words, *VERBS, *_all_options()])
        raise WrongUsage(what, hint=hint or f"{self.prog} --help lists what is possible")


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the options of a verb; print and raise SystemExit where help is requested."""
    own, _, command = _divided(argv)
    verb, words = _verb_first(own)
    if command and verb != "fit":
        verb, words, command = *_verb_first(argv), []
    parser = Parser(verb)
    options, rest = parser.parse_known_args(words)
    options.verb = verb
    if verb == "fit":
        options.command = command
    if verb in ACTIONS and not any(word.startswith("-") for word in rest):
        options.what += rest  # argparse does not collect names that follow an option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if getattr(options, "events", False):
        _refuse_other_output(options)
    if actions := ACTIONS.get(verb):
        options.action, *options.what = options.what or actions[:1]
        if options.action not in actions:
            parser.error(f"invalid action: '{options.action}' (choose from {', '.join(actions)})")
    return options


def _divided(argv: list[str]) -> tuple[list[str], str, list[str]]:
    """Return the words before and after `--`: what follows is a command of another program."""
    if "--" not in argv:
        return argv, "", []
    position = argv.index("--")
    return argv[:position], "--", argv[position + 1 :]


def _verb_first(argv: list[str]) -> tuple[str, list[str]]:
    """Return the verb, before which options may stand, and all other words."""
    if argv and argv[0] in VERBS:
        return argv[0], argv[1:]
    with_value = {name for verb in VERBS for name in Parser(verb).with_value}
    values = {index + 1 for index, word in enumerate(argv) if word in with_value}
    position = next(
        (i for i, word in enumerate(argv) if not word.startswith("-") and i not in values), None
    )
    if position is None:
        if text := next(filter(None, map(text_for, argv)), ""):
            sys.stdout.write(text)
            raise SystemExit
        return DEFAULT, argv
    verb, words = argv[position], [*argv[:position], *argv[position + 1 :]]
    if verb == "help":
        return _verb_first([*words, "--help"])
    if verb not in VERBS and position == 0:
        raise WrongUsage(
            f"'{verb}' is not a verb",
            hint=nearest(verb, [*VERBS]) or f"{PROGRAM} --help lists what is possible",
        )
    return (verb, words) if verb in VERBS else (DEFAULT, argv)


def _all_options() -> set[str]:
    return {word for verb in VERBS for word in Parser(verb).words}


def _of_other_verb(option: str) -> str:
    """Return a hint for an option that belongs to another verb."""
    verb = next((verb for verb in VERBS if option in Parser(verb).words), "")
    return f"this option belongs to another verb: {PROGRAM} {verb} {option}" if verb else ""


def _refuse_other_output(options: argparse.Namespace) -> None:
    others = {"--json": options.json, "--dry-run": getattr(options, "dry_run", False)}
    others["check list"] = getattr(options, "names", None) == ["list"]
    for name, is_set in others.items():
        if is_set:
            raise WrongUsage(
                f"--events and {name} cannot be used together: both write to stdout",
                hint="leave one of them out",
            )
