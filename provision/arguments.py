"""The command line: verbs and their options. A test compares `--help` with the README."""

from __future__ import annotations

import argparse
import sys

from provision.report.format_table import FORMATS
from provision.version import VERSION

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    from typing import Any, NoReturn

DEFAULT = "up"
VERBS = {
    "up": "record this host, plan, install what is missing, check, switch; the default",
    "plan": "show what would be installed and why",
    "host": "record this host and show it",
    "provision": "run the numbered steps and the checks, or only show them",
    "bundle": "collect everything that a host without a network needs in a folder",
    "wheels": "list the stored flash-attn wheels; export or import them",
    "check": "run checks on the current environment; `check list` explains them",
    "diff": "show what changed between two runs, and the likely cause",
    "baseline": "show the run that later runs are compared with, or set it",
    "watch": "check again if something changed since this host was verified",
    "tasks": "list the numbered tasks, built-in and your own, with their last outcome",
    "report": "show a run as text, Markdown, JSON, JUnit, Prometheus or HTML",
    "generations": "list the environments of a prefix",
    "rollback": "switch back to the previous environment, or to a given one",
    "prune": "remove environments that are neither current nor in use",
    "catalog": "show the catalogue of published builds, its age, or extend it",
}

ACTIONS = {  # the first is the default
    "catalog": ("show", "check", "add"),
    "wheels": ("list", "export", "import"),
    "baseline": ("show", "set"),
}

EXIT_CODES = """exit codes:
    0 done and verified
    1 a check failed
    2 wrong usage or configuration
    3 this host cannot run what was requested, with the reasons
    4 a step or a network source failed; the same command resumes
    5 a promised check was skipped or could not decide
    6 another run holds the lock
   70 a bug in vllm-ready (a crash log is written)
  130 interrupted"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """A help formatter of fixed width, so that the README can show its output."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class _Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest known word and accepts no abbreviated options."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - they are argparse's own
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        from provision.errors import WrongUsage

        what, _, choices = message.partition(" (choose from")
        wrong = what.rpartition(": ")[2].split(" ")[0].strip("'")
        known = [word.strip(" ')") for word in choices.split(",")] if choices else _words(self)
        raise WrongUsage(
            what,
            hint=_verb_of(wrong, self)
            or _nearest(wrong, known)
            or f"{self.prog} --help lists what is possible",
        )


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Return every verb, and every option of a parser and of its verbs."""
    below = [word for name, verb in _subparsers(parser).items() for word in (name, *_words(verb))]
    return [*parser._option_string_actions, *below]  # noqa: SLF001 - argparse has no public list


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = parser._actions  # noqa: SLF001 - as above
    return dict(
        next((action.choices for action in actions if isinstance(action.choices, dict)), {})
    )


def _verb_of(option: str, parser: argparse.ArgumentParser) -> str:
    """Return a hint for an option that belongs to a verb and was given without it."""
    verb = next(
        (name for name, subparser in _subparsers(parser).items() if option in _words(subparser)), ""
    )
    return f"this option belongs to a verb: {parser.prog} {verb} {option}" if verb else ""


def _nearest(wrong: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean `{close[0]}`?" if close else ""


def parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False, prog="")
    option = common.add_argument
    option("--json", action="store_true", help="print one JSON document on stdout, nothing else")
    option("--config", metavar="FILE", help="read settings from FILE instead of config.yaml")
    option(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting for this run; repeatable",
    )
    option("--prefix", metavar="DIR", help="folder of the environments, instead of the setting")
    option("--quiet", action="store_true", help="print only what is necessary")
    top = _Parser(
        prog="vllm-ready",
        description="Prepares a GPU host for vLLM, proves that vLLM works there,"
        "\nand proves it again after every change.",
        epilog=EXIT_CODES,
    )
    top.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"vllm-ready {VERSION}",
        help="show the version and exit",
    )
    subparsers = top.add_subparsers(
        dest="verb", required=True, metavar="VERB", parser_class=_Parser, prog="vllm-ready"
    )
    verbs = {
        name: subparsers.add_parser(name, help=text, description=text, parents=[common])
        for name, text in VERBS.items()
    }
    _add_building(verbs)
    _add_checking(verbs)
    _add_showing(verbs)
    for name in ("up", "provision", "bundle", "check"):
        verbs[name].add_argument(
            "--events", action="store_true", help="print events as JSON lines on stdout"
        )
    return top


def _add_building(verbs: dict[str, _Parser]) -> None:
    verbs["plan"].add_argument(
        "--host",
        metavar="FILE",
        help="plan for the host in FILE: a recording, collect_env text or YAML (- is stdin)",
    )
    for name in ("up", "provision", "bundle"):
        verbs[name].add_argument("--yes", action="store_true", help="download without asking")
    verbs["up"].add_argument(
        "--upgrade", action="store_true", help="plan again even if nothing has changed"
    )
    verbs["up"].add_argument(
        "--bundle", metavar="FOLDER", help="install from a bundle, without a network"
    )
    option = verbs["provision"].add_argument
    option(
        "--dry-run",
        action="store_true",
        help="show what is done already and every command that would run; change nothing",
    )
    option("--host", metavar="FILE", help="build for the host described in FILE (- is stdin)")
    selection = verbs["provision"].add_mutually_exclusive_group()
    selection.add_argument(
        "--only", type=int, metavar="NN", help="run only this step, or this task of your own"
    )
    selection.add_argument(
        "--from", dest="start", type=int, metavar="NN", help="run this step and all later ones"
    )
    option = verbs["bundle"].add_argument
    option(
        "--host", metavar="FILE", help="for the host described in FILE (- is stdin), not this one"
    )
    option("-o", "--output", metavar="FOLDER", required=True, help="write the bundle to FOLDER")
    option("--part-size", metavar="SIZE", help="split larger files into parts of SIZE, such as 60M")
    verbs["rollback"].add_argument(
        "id", nargs="?", metavar="ID", help="the environment to switch to"
    )
    option = verbs["wheels"].add_argument
    option(
        "what",
        nargs="*",
        metavar="ACTION",
        help="list (default); export FOLDER [NAME ...]; import PATH ...",
    )
    option("--torch", metavar="X", help="import: the torch version, if the file name lacks it")
    option("--cuda", metavar="X", help="import: the CUDA version, if the file name lacks it")


def _add_checking(verbs: dict[str, _Parser]) -> None:
    option = verbs["check"].add_argument
    option(
        "names",
        nargs="*",
        metavar="NAME",
        help="checks to run (default: all that the plan promises), or `list`",
    )
    option("--python", metavar="EXE", help="check this Python instead: a venv, conda, any other")
    option(
        "--serving",
        metavar="URL",
        help="check a running server without disturbing it; VLLM_API_KEY is its key",
    )
    option(
        "--profile",
        choices=("passive", "quick", "full"),
        help="passive only reads and takes no GPU memory; quick is the default;"
        " full is for acceptance",
    )
    option = verbs["watch"].add_argument
    option(
        "--profile",
        choices=("passive", "quick"),
        default="passive",
        help="how thoroughly to check after a change",
    )
    option("--always", action="store_true", help="check even if nothing has changed")
    # `cli` makes verbs with this attribute interruptible by SIGTERM.
    verbs["watch"].set_defaults(events=False)


def _add_showing(verbs: dict[str, _Parser]) -> None:
    verbs["host"].add_argument("-o", "--output", metavar="FILE", help="write the recording to FILE")
    verbs["catalog"].add_argument(
        "what",
        nargs="*",
        metavar="ACTION",
        help="show [TABLE ...] (default); check; add RELEASE ..., such as vllm==X or torch==X",
    )
    verbs["diff"].add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="the run before and the one after: an id, its beginning, a folder or a file",
    )
    verbs["baseline"].add_argument(
        "what", nargs="*", metavar="ACTION", help="show (default); set [RUN]"
    )
    option = verbs["report"].add_argument
    option(
        "run",
        nargs="?",
        metavar="RUN",
        help="an id, its beginning, a folder or a file (default: the newest run)",
    )
    option(
        "--format",
        choices=tuple(FORMATS),
        help="text is the default; html is one page that works offline",
    )
    option(
        "--share",
        action="store_true",
        help="remove names, home folders, serial numbers, addresses and secrets",
    )
    option("-o", "--output", metavar="FILE", help="write the report to FILE")


def parse(argv: list[str]) -> argparse.Namespace:
    top = parser()
    options, rest = top.parse_known_args(_verb_first(argv, top))
    if options.verb in ACTIONS and not any(word.startswith("-") for word in rest):
        options.what += rest  # argparse does not collect names that follow an option
    elif rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if getattr(options, "events", False):
        _refuse_other_output(options)
    if actions := ACTIONS.get(options.verb):
        options.action, *options.what = options.what or actions[:1]
        if options.action not in actions:
            top.error(f"invalid action: '{options.action}' (choose from {', '.join(actions)})")
    return options


def _refuse_other_output(options: argparse.Namespace) -> None:
    from provision.errors import WrongUsage

    others = {"--json": options.json, "--dry-run": getattr(options, "dry_run", False)}
    others["check list"] = getattr(options, "names", None) == ["list"]
    for name, is_set in others.items():
        if is_set:
            raise WrongUsage(
                f"--events and {name} cannot be used together: both write to stdout",
                hint="leave one of them out",
            )


def _verb_first(argv: list[str], top: argparse.ArgumentParser) -> list[str]:
    """Move the verb to the front, because options may stand before it; insert the default verb."""
    with_value = {name for verb in _subparsers(top).values() for name in _with_value(verb)}
    values = {index + 1 for index, word in enumerate(argv) if word in with_value}
    position = next(
        (i for i, word in enumerate(argv) if not word.startswith("-") and i not in values), None
    )
    if position is not None and (position == 0 or argv[position] in VERBS):
        return [argv[position], *argv[:position], *argv[position + 1 :]]
    if position is None and {"-h", "--help", "-V", "--version"} & set(argv):
        return argv
    return [DEFAULT, *argv]


def _with_value(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options whose value is the next word."""
    actions = parser._option_string_actions  # noqa: SLF001 - as above
    return {name for name, action in actions.items() if action.nargs != 0}


def help_text() -> str:
    return parser().format_help()


if __name__ == "__main__":
    sys.stdout.write(help_text())
