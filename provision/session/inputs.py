"""What the user has given, for every verb: settings, the places that will be written, where package sources are."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # start-up is half imports
if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from provision.host._model import Host
    from provision.settings import Settings

CONFIG = "config.yaml"
_MOST = 16 * 1024 * 1024  # of what is read from standard input


def checkout() -> str:
    """The folder that setup.sh lies in."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def settings(options: argparse.Namespace) -> Settings:
    """config.yaml, or the file that stands in for it, and then what the command line says."""
    from provision import settings
    from provision.doors import files

    named = options.config is not None
    path = options.config if named else os.path.join(checkout(), CONFIG)
    text = files.read_text(path) if named or os.path.exists(path) else None
    overrides = [*options.set, *([f"prefix={options.prefix}"] if options.prefix is not None else [])]
    return settings.load(text, path if named else CONFIG, overrides)


def described(options: argparse.Namespace) -> Host:
    """The host that --host names: a file, or - for standard input."""
    from provision.doors import files
    from provision.host import from_text

    text = _standard_input() if options.host == "-" else files.read_text(options.host)
    return from_text.parse(text, called(options))


def called(options: argparse.Namespace) -> str:
    """What messages call the host that a plan is for."""
    return {None: "this host", "-": "standard input"}.get(options.host) or str(options.host)


def _standard_input() -> str:
    content: bytes = sys.stdin.buffer.read(_MOST + 1) if sys.stdin else b""
    if len(content) > _MOST:
        from provision.errors import UnreadableInput

        raise UnreadableInput("is larger than 16 MiB", where="standard input", hint="give the right file")
    return content.decode("utf-8-sig", "replace")


def place_of(key: str, options: argparse.Namespace) -> str:
    """Where a setting was said last, for a complaint that only the plan can make."""
    said = [override for override in options.set if override.partition("=")[0] == key]
    return f"--set {said[-1]}" if said else options.config or CONFIG


def paths(settings: Settings) -> dict[str, Path]:
    """What will be written, for the disk facts; asked of the environment only, because nothing is tried out here."""
    from pathlib import Path

    root = Path(checkout())
    places = {"prefix": root / settings.prefix, "logs": root / settings.logs, "checkout": root}
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - its disk is looked at, nothing is put there
    if models := os.environ.get("HF_HOME"):
        places["models"] = Path(models)
    return {**places, "cache": Path(os.path.expanduser("~/.cache")), "tmpdir": Path(temporary)}


def addresses(settings: Settings) -> dict[str, str]:
    """Where the sources are; from here on the network is used as pip and uv are set up to use it."""
    from provision import package_sources
    from provision.doors import certificates, network
    from provision.host import _installer

    config = _installer.installer_config()
    certificates.trust(config["uv"].get("cert") or config["pip"].get("cert"))
    return package_sources.addresses(settings, package_sources.configured(config) or network.default_index())
