"""argv -> the module of a verb, found by its name; failures become a sentence and an exit code."""

from __future__ import annotations

import gc
import os
import sys

from provision import terminal


def main() -> None:
    """The program: runs a verb, turns failures into a sentence and an exit code."""
    gc.set_threshold(50_000)  # looking for garbage while modules load and rows are read is a tenth of a plan's time
    argv = sys.argv[1:]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    sys.exit(_guarded(argv))


def _guarded(argv: list[str]) -> int:
    """A verb's exit code, also where it ends otherwise."""
    if argv in (["--version"], ["-V"]):
        from provision.version import VERSION

        terminal.line(f"vllm-ready {VERSION}")
        return 0
    from provision.errors import BUG, INTERRUPTED, Failure

    try:
        return run(argv)
    except Failure as failure:
        terminal.note(str(failure))
        return failure.exit_code
    except KeyboardInterrupt:
        terminal.note("interrupted")
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of defence: a bug leaves a log, not a traceback
        from provision.crash import report
        from provision.verbs import _given

        terminal.note(report(argv, _given.checkout()).removesuffix("\n"))
        return BUG


def run(argv: list[str]) -> int:
    """Parse, and call one verb."""
    from provision.arguments import parse

    try:
        options = parse(argv)
    except SystemExit:  # --help
        terminal.out(b"")
        return 0
    from importlib import import_module

    code: int = import_module(f"provision.verbs.{options.verb}").run(options)
    return code
