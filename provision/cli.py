"""argv -> one function per verb. Verbs load what they need when they are called; only this file prints."""

from __future__ import annotations

import os.path
import sys

TYPE_CHECKING = False  # importing typing for it would cost a third of the start-up
if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from provision.host._model import Host, Recording
    from provision.settings import Settings


def main() -> None:
    """The program: runs a verb, turns failures into a sentence and an exit code."""
    argv = sys.argv[1:]
    if argv in (["--version"], ["-V"]):
        from provision.version import VERSION

        sys.stdout.write(f"vllm-ready {VERSION}\n")
        return
    sys.exit(_guarded(argv))


def _guarded(argv: list[str]) -> int:
    """A verb's exit code, also where it ends otherwise."""
    from provision.errors import BUG, INTERRUPTED, Failure

    try:
        return run(argv)
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was changed\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has had enough (| head)
        sys.stderr.close()
        return 0
    except Exception:  # noqa: BLE001 - the last line of defence: a bug leaves a log, not a traceback
        from provision.crash import report

        sys.stderr.write(report(argv, checkout()))
        return BUG


def run(argv: list[str]) -> int:
    """Parse and call one verb."""
    from provision.arguments import parser

    options = parser().parse_args(argv or ["plan"])
    return {"host": host, "plan": plan, "catalog": catalog}[options.verb](options)


def host(options: argparse.Namespace) -> int:
    """Record this host; show it, or write the recording."""
    from provision.host import record, show

    settings = _settings(options)
    recording = record.record(network=False, paths=_paths(settings), sources={})
    if options.output:
        from pathlib import Path

        from provision.doors import files

        files.write(Path(options.output), record.to_json(recording))
    if options.json:
        sys.stdout.buffer.write(record.to_json(recording))
    elif not options.quiet and not options.output:
        _print(show.shown(recording))
        for line in _not_usable(recording, settings):
            _print(line)
    elif options.output:
        _note(f"recorded in {options.output}; plan for it anywhere: vllm-ready plan --host {options.output}", options)
    return 0


def _not_usable(recording: Recording, settings: Settings) -> list[str]:
    """GPUs that are there and cannot be used yet, each with the driver that it needs."""
    from provision.catalog import rows
    from provision.host._model import Host
    from provision.plan import choose_profile
    from provision.plan._model import Reasons
    from provision.plan.situation import gather

    catalogue = rows.load()
    profile = choose_profile.choose(gather(Host(recording.readings), settings, catalogue), catalogue)
    return [f"not usable: {reason}" for reason in profile.reasons] if isinstance(profile, Reasons) else []


def plan(options: argparse.Namespace) -> int:
    """Show what would be installed on this host, or on a described one, and why."""
    from provision.catalog import rows
    from provision.errors import DONE, UNSUPPORTED
    from provision.plan._model import Unsupported
    from provision.plan.make import make

    settings = _settings(options)
    made = make(_host(options, settings), settings, rows.load())
    if options.json:
        _document(made)
    else:
        from provision.plan import explain

        _print(explain.in_one_line(made) if options.quiet else explain.explained(made))
    return UNSUPPORTED if isinstance(made, Unsupported) else DONE


def catalog(options: argparse.Namespace) -> int:
    """Show the catalogue, say how fresh it is, or grow it from published wheels."""
    from provision.catalog import verbs

    settings = _settings(options)
    action = {"show": verbs.show, "check": verbs.check, "add": verbs.add}[options.action]
    said = action(options.what, lambda: _addresses(settings)["pypi"], lambda line: _note(line, options))
    if options.json:
        _document(said.data)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in said.lines))
    return 0


def checkout() -> str:
    """The folder that setup.sh lies in."""
    return os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def _settings(options: argparse.Namespace) -> Settings:
    from provision import settings
    from provision.doors import files

    path = options.config or os.path.join(checkout(), "config.yaml")
    text = files.read_text(path) if options.config or os.path.exists(path) else None
    overrides = [*options.set, *([f"prefix={options.prefix}"] if options.prefix else [])]
    return settings.load(text, options.config or "config.yaml", overrides)


def _host(options: argparse.Namespace, settings: Settings) -> Host:
    if options.host is None:
        from provision.host import record
        from provision.host._model import Host

        taken = record.record(network=True, paths=_paths(settings), sources=_addresses(settings))
        return Host(taken.readings)
    from provision.doors import files
    from provision.host import from_text

    if options.host == "-":
        return from_text.parse(sys.stdin.read(), "standard input")
    return from_text.parse(files.read_text(options.host), options.host)


def _paths(settings: Settings) -> dict[str, Path]:
    """What will be written, for the disk facts."""
    import tempfile
    from pathlib import Path

    root = Path(checkout())
    cache = Path.home() / ".cache"
    places = {"prefix": root / settings.prefix, "logs": root / settings.logs, "cache": cache}
    return {**places, "checkout": root, "tmpdir": Path(tempfile.gettempdir())}


def _addresses(settings: Settings) -> dict[str, str]:
    from provision import package_sources
    from provision.doors import network
    from provision.host import _installer

    return package_sources.addresses(
        settings, package_sources.configured(_installer.installer_config()) or network.default_index()
    )


def _note(line: str, options: argparse.Namespace) -> None:
    """What goes on, for a person; never on stdout."""
    if not options.quiet:
        sys.stderr.write(f"{line}\n")


def _document(data: object) -> None:
    """One JSON document on stdout."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def _print(what: object) -> None:
    """To a terminal with colour and its width; to a file or pipe plainly."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    Console(width=width, soft_wrap=False, highlight=False, emoji=False, markup=False).print(what)
