"""argv -> the module of a verb, found by its name; failures become a sentence and an exit code."""

from __future__ import annotations

import gc
import os
import sys

from provision.display import terminal

TYPE_CHECKING = False  # `typing` is left out: start-up is half imports
if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from provision.display.json_lines import Stream


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

    stream = None
    if "--events" in argv:  # also where what else stands there is wrong
        from provision.display.json_lines import Stream

        stream = Stream()
    said = ""
    try:
        code = run(argv, stream)
    except Failure as failure:
        code, said = failure.exit_code, str(failure)
    except KeyboardInterrupt:
        code, said = INTERRUPTED, "interrupted"
    except Exception:  # noqa: BLE001 - the last line of defence: a bug leaves a log, not a traceback
        from provision.crash import report
        from provision.session import inputs

        code, said = BUG, report(argv, inputs.checkout()).removesuffix("\n")
    if said:
        terminal.note(said)
    return stream.ended(code, said) if stream else code


def run(argv: list[str], stream: Stream | None = None) -> int:
    """Parse, and call one verb; `stream` is for those that can tell of events."""
    from provision.arguments import parse

    try:
        options = parse(argv)
    except SystemExit:  # --help
        terminal.out(b"")
        return 0
    from importlib import import_module

    options.stream = stream
    verb = import_module(f"provision.verbs.{options.verb}")
    with _interruptible(options):
        code: int = verb.run(options)
    return code


def _interruptible(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Whoever ends a verb that works for long is answered as Ctrl-C is, whatever it is at."""
    from contextlib import nullcontext

    if not hasattr(options, "events"):
        return nullcontext()
    from provision.doors import interruption

    return interruption.as_keyboard_interrupt()
