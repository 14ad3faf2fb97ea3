"""argv -> one function per verb. Verbs load what they need when they are called; only this file prints."""

from __future__ import annotations

import os
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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    sys.exit(_guarded(argv))


def _guarded(argv: list[str]) -> int:
    """A verb's exit code, also where it ends otherwise."""
    if argv in (["--version"], ["-V"]):
        from provision.version import VERSION

        _out(f"vllm-ready {VERSION}\n".encode())
        return 0
    from provision.errors import BUG, INTERRUPTED, Failure

    try:
        return run(argv)
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of defence: a bug leaves a log, not a traceback
        from provision.crash import report

        sys.stderr.write(report(argv, checkout()))
        return BUG


def run(argv: list[str]) -> int:
    """Parse and call one verb."""
    from provision.arguments import parse

    try:
        options = parse(argv or ["plan"])
    except SystemExit:  # --help
        _out(b"")
        return 0
    return {"host": host, "plan": plan, "catalog": catalog}[options.verb](options)


def host(options: argparse.Namespace) -> int:
    """Record this host; show it, or write the recording."""
    from provision.host import record, show

    settings = _settings(options)
    recording = record.record(network=False, paths=_paths(settings), sources={})
    output = options.output
    if output is not None:
        from pathlib import Path

        from provision.doors import files

        files.write(Path(output), record.to_json(recording))
        _note(f"recorded in {output}; plan for it anywhere: ./setup.sh plan --host {output}", options)
    if options.json:
        _out(record.to_json(recording))
    elif output is None:
        _print(show.shown(recording))
        for line in _not_usable(recording, settings):
            _print(line)
    return 0


def _not_usable(recording: Recording, settings: Settings) -> list[str]:
    """GPUs that are there and cannot be used yet, each with the driver that it needs."""
    from provision.catalog import rows
    from provision.errors import IncompleteHost
    from provision.host._model import Host
    from provision.plan import choose_profile
    from provision.plan._model import Reasons
    from provision.plan.situation import gather

    catalogue = rows.load()
    try:
        profile = choose_profile.choose(gather(Host(recording.readings), settings, catalogue), catalogue)
    except IncompleteHost as failure:  # what is there is shown all the same
        return [f"not enough for a plan: {failure.what}"]
    return [f"not usable: {reason}" for reason in profile.reasons] if isinstance(profile, Reasons) else []


def plan(options: argparse.Namespace) -> int:
    """Show what would be installed on this host, or on a described one, and why."""
    from provision.catalog import rows
    from provision.errors import DONE, UNSUPPORTED, IncompleteHost
    from provision.plan._model import Unsupported
    from provision.plan.make import make

    settings = _settings(options)
    found = _host(options, settings)
    try:
        made = make(found, settings, rows.load())
    except IncompleteHost as failure:
        failure.where = _called(options)
        raise
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
    said = action(options.what, lambda: _index(settings), lambda line: _note(line, options))
    if options.json:
        _document(said.data)
    else:
        _out("".join(f"{line}\n" for line in said.lines).encode())
    return 0


def checkout() -> str:
    """The folder that setup.sh lies in."""
    return os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def _settings(options: argparse.Namespace) -> Settings:
    from provision import settings
    from provision.doors import files

    named = options.config is not None
    path = options.config if named else os.path.join(checkout(), "config.yaml")
    text = files.read_text(path) if named or os.path.exists(path) else None
    overrides = [*options.set, *([f"prefix={options.prefix}"] if options.prefix is not None else [])]
    return settings.load(text, path if named else "config.yaml", overrides)


def _host(options: argparse.Namespace, settings: Settings) -> Host:
    if options.host is None:
        from provision.host import record
        from provision.host._model import Host

        taken = record.record(network=True, paths=_paths(settings), sources=_addresses(settings))
        return Host(taken.readings)
    from provision.doors import files
    from provision.host import from_text

    text = _standard_input() if options.host == "-" else files.read_text(options.host)
    return from_text.parse(text, _called(options))


def _called(options: argparse.Namespace) -> str:
    """What messages call the host that a plan is for."""
    return {None: "this host", "-": "standard input"}.get(options.host) or str(options.host)


def _standard_input() -> str:
    from provision.errors import UnreadableInput

    most = 16 * 1024 * 1024
    content: bytes = sys.stdin.buffer.read(most + 1) if sys.stdin else b""
    if len(content) > most:
        raise UnreadableInput("is larger than 16 MiB", where="standard input", hint="give the right file")
    return content.decode("utf-8-sig", "replace")


def _paths(settings: Settings) -> dict[str, Path]:
    """What will be written, for the disk facts; asked of the environment only, because nothing is tried out here."""
    from pathlib import Path

    root = Path(checkout())
    places = {"prefix": root / settings.prefix, "logs": root / settings.logs, "checkout": root}
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - its disk is looked at, nothing is put there
    return {**places, "cache": Path(os.path.expanduser("~/.cache")), "tmpdir": Path(temporary)}


def _index(settings: Settings) -> str:
    from provision.errors import WrongSetting

    address = _addresses(settings).get("pypi")
    if address is None:
        what = "the catalogue is compared with PyPI, and sources.pypi is false"
        raise WrongSetting(what, where="settings", hint="--set sources.pypi=true, or the URL of a mirror")
    return address


def _addresses(settings: Settings) -> dict[str, str]:
    """Where the sources are; from here on the network is used as pip and uv are set up to use it."""
    from provision import package_sources
    from provision.doors import certificates, network
    from provision.host import _installer

    config = _installer.installer_config()
    certificates.trust(config["uv"].get("cert") or config["pip"].get("cert"))
    return package_sources.addresses(settings, package_sources.configured(config) or network.default_index())


def _note(line: str, options: argparse.Namespace) -> None:
    """What goes on, for a person; never on stdout."""
    if not options.quiet:
        sys.stderr.write(f"{line}\n")


def _document(data: object) -> None:
    """One JSON document on stdout."""
    import msgspec

    _out(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def _print(what: object) -> None:
    """To a terminal with colour and its width; to a file or pipe plainly."""
    import io

    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    text = io.StringIO()
    width = None if is_terminal else 120
    Console(file=text, force_terminal=is_terminal, width=width, highlight=False, emoji=False, markup=False).print(what)
    _out(text.getvalue().encode(sys.stdout.encoding, "replace"))


def _out(data: bytes) -> None:
    """Everything for stdout, and what others have left in its buffer."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has had enough (| head)
        _forget_stdout()
    except OSError as error:
        from provision.errors import NotWritable

        _forget_stdout()
        raise NotWritable(f"cannot be written: {error.strerror}", where="standard output") from None


def _forget_stdout() -> None:
    """What is left in its buffer goes nowhere; otherwise the interpreter complains of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
