"""The command line: runs the module of a verb; failures become a message and an exit code."""

from __future__ import annotations

import gc
import os
import sys

from provision.display import terminal
from provision.options import text_for

_FILES = 256  # open at once, with the pipes of child processes

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from provision.session.event_stream import Stream


def main() -> None:
    # Collecting garbage while modules load and catalogue rows are read takes a tenth of a plan.
    gc.set_threshold(50_000)
    argv = sys.argv[1:]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell closed it: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until exit
    code = _guarded(argv)
    gc.freeze()  # else the collector walks over everything once more, which takes as long
    sys.exit(code)


def _guarded(argv: list[str]) -> int:
    if len(argv) == 1 and (text := text_for(argv[0])):
        terminal.write(text)
        return 0
    from provision.errors import BUG, INTERRUPTED, Failure

    stream = None
    if "--events" in argv:  # before parsing: wrong usage is an event too
        from provision.session.event_stream import Stream

        stream = Stream()
    message = ""
    try:
        code = run(argv, stream)
    except Failure as failure:
        code, message = failure.exit_code, str(failure)
    except KeyboardInterrupt:
        # A terminal has shown ^C without a line break.
        code, message = INTERRUPTED, "\n" * sys.stderr.isatty() + "interrupted"
    except Exception:  # noqa: BLE001 - a bug leaves a log, not a traceback
        from provision.crash import report
        from provision.session import inputs

        code, message = BUG, report(argv, inputs.checkout()).removesuffix("\n")
    if message:
        terminal.note(message)
    return stream.ended(code, message) if stream else code


def run(argv: list[str], stream: Stream | None = None) -> int:
    """Parse the command line and run one verb; `stream` is for verbs with --events."""
    from provision.arguments import parse

    try:
        options = parse(argv)
    except SystemExit:  # the help is printed
        terminal.out(b"")  # flush here, where a closed stdout is handled
        return 0
    from importlib import import_module

    options.stream = stream
    _allow_enough_files()
    verb = import_module(f"provision.verbs.{options.verb}")
    with _interruptible(options):
        code: int = verb.run(options)
    return code


def _allow_enough_files() -> None:
    """Raise the limit of open files if it is low; without them a host cannot be read."""
    import resource

    _, most = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if min(limits) >= _FILES:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, max(most, _FILES)))
    except (ValueError, OSError):
        from provision.errors import WrongUsage

        raise WrongUsage(
            f"this shell allows {most} open files, and {_FILES} are needed",
            hint=f"ulimit -n {_FILES}, or raise nofile in /etc/security/limits.conf",
        ) from None


def _interruptible(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Make SIGTERM and SIGHUP interrupt the verbs that run for long (those with --events)."""
    from contextlib import nullcontext

    if not hasattr(options, "events"):
        return nullcontext()
    from provision.doors import interruption

    return interruption.as_keyboard_interrupt()
