"""The verbs in the groups of the help, and the options of each."""

from __future__ import annotations

from provision.report.format_table import FORMATS
from provision.version import VERSION

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

GROUPS = {
    "set up": {
        "up": "plan, install what is missing, check, switch; the default",
        "plan": "show what would be installed and why",
        "provision": "run the numbered steps and the checks, or only show them",
        "bundle": "collect what a host without a network needs in a folder",
    },
    "look": {
        "fit": "predict whether and how a model runs: memory, context, command",
        "host": "record this host and show it, or the facts of a pasted text",
        "check": "check the current environment; `check list` explains",
        "report": f"show a run as {', '.join(FORMATS)}",
        "diff": "show what changed between two runs, and the likely cause",
        "diagnose": "name the cause of a failure from its log, and the fix",
        "triage": "inspect a broken host in thirty seconds, even without .venv",
        "tasks": "list the numbered tasks with their last outcome",
        "generations": "list the environments of a prefix",
    },
    "change": {
        "rollback": "switch back to the previous environment, or to a given one",
        "baseline": "show the run that later runs are compared with, or set it",
        "wheels": "list the stored flash-attn wheels; export or import them",
    },
    "maintain": {
        "watch": "check again if this host changed since it was verified",
        "prune": "remove environments that are neither current nor in use",
        "catalog": "show the published builds, their age, or add a release",
        "completion": "print the completion script of bash, zsh or fish",
    },
}
VERBS = {verb: text for verbs in GROUPS.values() for verb, text in verbs.items()}

ACTIONS = {  # the first is the default
    "catalog": ("show", "check", "add"),
    "wheels": ("list", "export", "import"),
    "baseline": ("show", "set"),
}

PROGRAM = "./setup.sh"  # what a user of a checkout calls

HELP = """usage: ./setup.sh [VERB] [OPTIONS]

Prepares a GPU host for vLLM, proves that vLLM works there,
and proves it again after every change.

{groups}

options:
  -h, --help     show this help, or the options of a verb
  -V, --version  show the version

exit codes:
    0 done and verified
    1 a check failed
    2 wrong usage or configuration
    3 this host cannot run what was requested, with the reasons
    4 a step or a network source failed; the same command resumes
    5 a promised check was skipped or could not decide
    6 another run holds the lock
   70 a bug in vllm-ready (a crash log is written)
  130 interrupted
"""


def text_for(word: str) -> str:
    """Return the text for a word that asks for help or the version, or ""."""
    if word in ("-V", "--version", "version"):
        return f"vllm-ready {VERSION}\n"
    return help_text() if word in ("-h", "--help", "help") else ""


def help_text() -> str:
    """Return the help of the whole program."""
    return HELP.format(
        groups="\n\n".join(
            "\n".join([f"{title}:", *(f"  {verb:<11}  {text}" for verb, text in verbs.items())])
            for title, verbs in GROUPS.items()
        )
    )


def add_options(verb: str, parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb to its parser."""
    _common(parser)
    if verb in OPTIONS:
        OPTIONS[verb](parser)
    if verb in ("up", "provision", "bundle", "check"):
        parser.add_argument(
            "--events", action="store_true", help="print events as JSON lines on stdout"
        )


def _common(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
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


def _yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="download without asking")


def _up(parser: argparse.ArgumentParser) -> None:
    _yes(parser)
    option = parser.add_argument
    option("--upgrade", action="store_true", help="plan again even if nothing has changed")
    option("--bundle", metavar="FOLDER", help="install from a bundle, without a network")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        metavar="FILE",
        help="plan for the host in FILE: a recording, a pasted text or YAML (- is stdin)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="with --host: refuse a text that leaves a fact open, instead of assuming it",
    )


# The flags of `vllm serve` that size a run; `fit` has them under the same names.
SIZING = (
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--data-parallel-size",
    "--max-model-len",
    "--gpu-memory-utilization",
    "--max-num-seqs",
    "--max-num-batched-tokens",
    "--kv-cache-dtype",
    "--quantization",
    "--dtype",
    "--block-size",
    "--kv-cache-memory-bytes",
    "--cpu-offload-gb",
    "--max-loras",
    "--max-lora-rank",
)
SIZING_SWITCHES = (
    "--enable-expert-parallel",
    "--enforce-eager",
    "--enable-lora",
    "--enable-prefix-caching",
    "--no-enable-prefix-caching",
)


def _fit(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a folder, a config.json, or the id of a model on the hub;"
        " or after -- a `vllm serve` command to judge",
    )
    option(
        "--host",
        metavar="FILE",
        help="for the host in FILE: a recording, collect_env text or YAML (- is stdin)",
    )
    option("--revision", metavar="NAME", help="the revision of the model on the hub")
    option(
        "--prove",
        action="store_true",
        help="start vLLM of the current environment with dummy weights, and compare its figures",
    )
    option(
        "--exact",
        action="store_true",
        help="count the weights with vLLM's own model code, in the current environment",
    )
    option("--context", metavar="N", help="tokens that one request should have room for")
    option("--concurrency", metavar="N", help="how many such requests should fit at once")
    group = parser.add_argument_group("as `vllm serve` has them; a default is vLLM's own")
    for flag in SIZING:
        group.add_argument(flag, metavar="X")
    for flag in SIZING_SWITCHES:
        group.add_argument(flag, dest=flag[2:].replace("-", "_"), action="store_true")


def _assume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--assume",
        action="store_true",
        help="with --host: accept the likely value of a fact that the text leaves open",
    )


def _provision(parser: argparse.ArgumentParser) -> None:
    _yes(parser)
    option = parser.add_argument
    option(
        "--dry-run",
        action="store_true",
        help="show what is done already and every command that would run; change nothing",
    )
    option("--host", metavar="FILE", help="build for the host described in FILE (- is stdin)")
    _assume(parser)
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--only", type=int, metavar="NN", help="run only this step, or this task of your own"
    )
    selection.add_argument(
        "--from", dest="start", type=int, metavar="NN", help="run this step and all later ones"
    )


def _bundle(parser: argparse.ArgumentParser) -> None:
    _yes(parser)
    option = parser.add_argument
    option(
        "--host", metavar="FILE", help="for the host described in FILE (- is stdin), not this one"
    )
    _assume(parser)
    option("-o", "--output", metavar="FOLDER", required=True, help="write the bundle to FOLDER")
    option("--part-size", metavar="SIZE", help="split larger files into parts of SIZE, such as 60M")


def _host(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "file",
        nargs="?",
        metavar="FILE",
        help="show the facts of this text instead: a recording, a paste or YAML (- is stdin)",
    )
    option("-o", "--output", metavar="OUT", help="write the recording to OUT")


def _check(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
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


def _report(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
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


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="the run before and the one after: an id, its beginning, a folder or a file",
    )


def _diagnose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "log",
        nargs="?",
        metavar="FILE",
        help="the log of the failure, of any program, also .gz or .zst (- is stdin);"
        " without it: what will go wrong on this host",
    )
    parser.add_argument(
        "--host",
        metavar="HOST",
        help="the host of the log: a recording, collect_env text or YAML"
        " (default: what the log says, then this host)",
    )


def _rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="the environment to switch to")


def _action(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("what", nargs="*", metavar="ACTION", help=text)


def _baseline(parser: argparse.ArgumentParser) -> None:
    _action(parser, "show (default); set [RUN]")


def _wheels(parser: argparse.ArgumentParser) -> None:
    _action(parser, "list (default); export FOLDER [NAME ...]; import PATH ...")
    option = parser.add_argument
    option("--torch", metavar="X", help="import: the torch version, if the file name lacks it")
    option("--cuda", metavar="X", help="import: the CUDA version, if the file name lacks it")


def _watch(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--profile",
        choices=("passive", "quick"),
        default="passive",
        help="how thoroughly to check after a change",
    )
    option("--always", action="store_true", help="check even if nothing has changed")
    # `cli` makes verbs with this attribute interruptible by SIGTERM.
    parser.set_defaults(events=False)


def _catalog(parser: argparse.ArgumentParser) -> None:
    text = "show [TABLE ...] (default); check; add RELEASE ..., such as vllm==X or torch==X"
    _action(parser, text)


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish"
    )


OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "up": _up,
    "plan": _plan,
    "fit": _fit,
    "provision": _provision,
    "bundle": _bundle,
    "host": _host,
    "check": _check,
    "report": _report,
    "diff": _diff,
    "diagnose": _diagnose,
    "rollback": _rollback,
    "baseline": _baseline,
    "wheels": _wheels,
    "watch": _watch,
    "catalog": _catalog,
    "completion": _completion,
}
