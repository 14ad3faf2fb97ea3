"""The command line: verbs and their options. `--help` is checked against the README."""

from __future__ import annotations

import argparse
import sys

from provision.report.format_table import FORMATS
from provision.version import VERSION

TYPE_CHECKING = False  # typing, pathlib and shutil are left out: start-up is half imports
if TYPE_CHECKING:
    from typing import Any, NoReturn

DEFAULT = "up"
VERBS = {
    "up": "record, plan, provision what is missing, check, make it current; the default",
    "plan": "show what would be installed and why",
    "host": "record this host and show it",
    "provision": "run the numbered steps and the checks, or only show them",
    "bundle": "collect everything for a host without a network into a folder",
    "wheels": "list the flash-attn wheels that are kept; export or import them",
    "check": "try checks on the current environment; `check list` says what each proves",
    "diff": "say what changed between two runs, and what is likely to have caused it",
    "baseline": "show what later runs are compared with, or set it",
    "watch": "look whether something changed since this host was verified; then check",
    "tasks": "list the numbered tasks, ours and your own, and how each ended last",
    "report": "show a run: text, Markdown, JSON, JUnit, Prometheus or an HTML page",
    "generations": "list the environments of a prefix",
    "rollback": "make the environment before the current one current again",
    "prune": "remove environments that are neither current nor in use",
    "catalog": "show the catalogue of published builds, how fresh it is, or grow it",
}

ACTIONS = {  # the first is the default
    "catalog": ("show", "check", "add"),
    "wheels": ("list", "export", "import"),
    "baseline": ("show", "set"),
}

EXIT_CODES = """exit codes:
  0 done and verified   1 a check failed   2 wrong usage or configuration
  3 this host cannot run what was asked, with the reasons
  4 a step or a source on the network failed; the same command goes on
  5 a promised check was skipped or could not decide
  6 another run is at work there   70 a bug (a crash log is written)
  130 interrupted"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """One width everywhere, so that the README can show it and nobody asks the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class _Parser(argparse.ArgumentParser):
    """Names the nearest known word for a wrong one, and takes no option by half of its name."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - they are argparse's own
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        from provision.errors import WrongUsage

        what, _, choices = message.partition(" (choose from")
        wrong = what.rpartition(": ")[2].split(" ")[0].strip("'")
        known = [word.strip(" ')") for word in choices.split(",")] if choices else _words(self)
        hint = _verb_of(wrong, self) or _nearest(wrong, known) or f"{self.prog} --help shows what there is"
        raise WrongUsage(what, hint=hint)


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Every verb, and every option that a parser and the parsers of its verbs know."""
    below = [word for name, one in _below(parser).items() for word in (name, *_words(one))]
    return [*parser._option_string_actions, *below]  # noqa: SLF001 - argparse tells it nowhere else


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the verbs, by name."""
    verbs = (action.choices for action in parser._actions if isinstance(action.choices, dict))  # noqa: SLF001 - as above
    return dict(next(verbs, {}))


def _verb_of(option: str, parser: argparse.ArgumentParser) -> str:
    """For an option that is right and came without its verb: the verb."""
    verb = next((name for name, one in _below(parser).items() if option in _words(one)), "")
    return f"it belongs to a verb: {parser.prog} {verb} {option}" if verb else ""


def _nearest(wrong: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean `{close[0]}`?" if close else ""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    common = _Parser(add_help=False, prog="")
    common.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else there")
    common.add_argument("--config", metavar="FILE", help="settings from FILE instead of config.yaml")
    common.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting for this run"
    )
    common.add_argument("--prefix", metavar="DIR", help="where environments live, instead of the setting")
    common.add_argument("--quiet", action="store_true", help="say only what is needed")
    top = _Parser(
        prog="vllm-ready",
        description="Gets a bare GPU host ready for vLLM, proves that it is, and\nproves it again after every change.",
        epilog=EXIT_CODES,
    )
    top.add_argument("-V", "--version", action="version", version=f"vllm-ready {VERSION}", help="say the version")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser, prog="vllm-ready")
    made = {name: verbs.add_parser(name, help=text, description=text, parents=[common]) for name, text in VERBS.items()}
    made["plan"].add_argument(
        "--host",
        metavar="FILE",
        help="plan for a described host: a recording, collect_env text or YAML (- is stdin)",
    )
    for name in ("up", "provision"):
        made[name].add_argument("--yes", action="store_true", help="do not ask before downloading")
    made["up"].add_argument("--upgrade", action="store_true", help="plan anew, also where nothing has changed")
    steps = made["provision"]
    steps.add_argument(
        "--dry-run", action="store_true", help="show what stands and every command that would run; change nothing"
    )
    some = steps.add_mutually_exclusive_group()
    some.add_argument("--only", type=int, metavar="NN", help="run this step, or this task of your own, only")
    some.add_argument("--from", dest="start", type=int, metavar="NN", help="run this one and those after it")
    _of_check(made["check"])
    made["up"].add_argument("--bundle", metavar="FOLDER", help="take everything from a bundle, use no network")
    packed = made["bundle"]
    packed.add_argument("--host", metavar="FILE", help="for this described host (- is stdin) instead of this one")
    packed.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where to put it")
    packed.add_argument("--part-size", metavar="SIZE", help="no file larger than this, such as 60M")
    packed.add_argument("--yes", action="store_true", help="do not ask before downloading")
    for verb in ("up", "provision", "bundle", "check"):
        made[verb].add_argument("--events", action="store_true", help="what goes on as JSON lines on stdout")
    _of_report(made["report"])
    steps.add_argument("--host", metavar="FILE", help="build here for a host described elsewhere (- is stdin)")
    made["rollback"].add_argument("id", nargs="?", metavar="ID", help="the generation to switch to")
    made["host"].add_argument("-o", "--output", metavar="FILE", help="write the recording to FILE")
    made["catalog"].add_argument(
        "what",
        nargs="*",
        metavar="ACTION",
        help="show [TABLE ...], the default; check; add RELEASE ..., such as vllm==X or torch==X",
    )
    _of_comparing(made)
    kept = made["wheels"]
    kept.add_argument(
        "what", nargs="*", metavar="ACTION", help="list, the default; export FOLDER [NAME ...]; import PATH ..."
    )
    kept.add_argument("--torch", metavar="X", help="import: the torch that a wheel is for, where its name does not say")
    kept.add_argument("--cuda", metavar="X", help="import: its CUDA, likewise")
    return top


def _of_check(check: argparse.ArgumentParser) -> None:
    check.add_argument("names", nargs="*", metavar="NAME", help="checks to try (all that the plan promises), or list")
    check.add_argument("--python", metavar="EXE", help="try them in this Python instead: a venv, conda, any other")
    check.add_argument(
        "--serving", metavar="URL", help="look at a server that runs, without disturbing it; its key: VLLM_API_KEY"
    )
    check.add_argument(
        "--profile",
        choices=("passive", "quick", "full"),
        help="how deep: passive only reads and takes no GPU memory; quick, the default; full is for acceptance",
    )


def _of_comparing(made: dict[str, _Parser]) -> None:
    made["diff"].add_argument(
        "runs", nargs="*", metavar="RUN", help="before and after: an id, its beginning, a folder or a file"
    )
    made["baseline"].add_argument("what", nargs="*", metavar="ACTION", help="show, the default; set [RUN]")
    look = made["watch"]
    look.add_argument("--profile", choices=("passive", "quick"), default="passive", help="how deep, if it checks")
    look.set_defaults(events=False)  # it can be interrupted as those are that have it
    look.add_argument("--always", action="store_true", help="check also where nothing changed")


def _of_report(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "run", nargs="?", metavar="RUN", help="an id or its beginning, a folder, a file; else the newest"
    )
    report.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="text is the default; html is one page that needs no network",
    )
    report.add_argument(
        "--share",
        action="store_true",
        help="for an issue tracker: without names, home folders, serials, addresses and secrets",
    )
    report.add_argument("-o", "--output", metavar="FILE", help="write it to FILE")


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of one command line."""
    top = parser()
    options, rest = top.parse_known_args(_verb_first(argv, top))
    if options.verb in ACTIONS and not any(word.startswith("-") for word in rest):
        options.what += rest  # argparse loses names that stand behind an option
    elif rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if getattr(options, "events", False):
        _have_stdout_to_themselves(options)
    if known := ACTIONS.get(options.verb):
        options.action, *options.what = options.what or known[:1]
        if options.action not in known:
            top.error(f"invalid action: '{options.action}' (choose from {', '.join(known)})")
    return options


def _have_stdout_to_themselves(options: argparse.Namespace) -> None:
    from provision.errors import WrongUsage

    others = {"--json": options.json, "--dry-run": getattr(options, "dry_run", False)}
    others["check list"] = getattr(options, "names", None) == ["list"]
    for other in (name for name, is_asked in others.items() if is_asked):
        raise WrongUsage(f"--events and {other} both want stdout", hint="leave one of them out")


def _verb_first(argv: list[str], top: argparse.ArgumentParser) -> list[str]:
    """Options may stand before the verb; where none is named, they are for the main job."""
    valued = {name for one in _below(top).values() for name in _with_value(one)}
    values = {at + 1 for at, word in enumerate(argv) if word in valued}
    at = next((at for at, word in enumerate(argv) if not word.startswith("-") and at not in values), None)
    if at is not None and (at == 0 or argv[at] in VERBS):
        return [argv[at], *argv[:at], *argv[at + 1 :]]
    if at is None and {"-h", "--help", "-V", "--version"} & set(argv):
        return argv
    return [DEFAULT, *argv]


def _with_value(parser: argparse.ArgumentParser) -> set[str]:
    """The options whose value is the next word."""
    return {name for name, action in parser._option_string_actions.items() if action.nargs != 0}  # noqa: SLF001 - as above


def help_text() -> str:
    """`vllm-ready --help`, at a width that does not depend on the terminal."""
    return parser().format_help()


if __name__ == "__main__":
    sys.stdout.write(help_text())
