"""The input of every verb: settings, a described host, paths, and addresses of package sources."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `plan` imports these modules only if it needs them
if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from provision.host._model import Host
    from provision.settings import Settings

CONFIG = "config.yaml"
# A recording has some 100 kB, a pasted text less; far larger ones take minutes to search.
_HOST_LIMIT = 4 * 1024 * 1024


def checkout() -> str:
    """Return the folder of setup.sh."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def settings(options: argparse.Namespace) -> Settings:
    """Return the settings of config.yaml or --config, changed by --set and --prefix."""
    from provision import settings
    from provision.doors import files

    is_explicit = options.config is not None
    path = options.config if is_explicit else os.path.join(checkout(), CONFIG)
    text = files.read_text(path) if is_explicit or os.path.exists(path) else None
    prefix = [] if options.prefix is None else [f"prefix={options.prefix}"]
    return settings.load(text, path if is_explicit else CONFIG, [*options.set, *prefix])


def described_host(options: argparse.Namespace, *, may_be_empty: bool = False) -> Host:
    """Return the host of --host; `may_be_empty` takes `{}` for one of which nothing is known."""
    from provision.doors import files
    from provision.host import from_text

    is_stdin = options.host == "-"
    text = _standard_input() if is_stdin else files.read_text(options.host, _HOST_LIMIT)
    if may_be_empty and "".join(text.split()) == "{}":
        from provision.host._model import Host

        return Host(described={})
    return from_text.parse(text, host_name(options))


def host_name(options: argparse.Namespace) -> str:
    return {None: "this host", "-": "standard input"}.get(options.host) or str(options.host)


def _standard_input() -> str:
    content: bytes = sys.stdin.buffer.read(_HOST_LIMIT + 1) if sys.stdin else b""
    if len(content) > _HOST_LIMIT:
        from provision.errors import UnreadableInput

        raise UnreadableInput(
            "is larger than 4 MiB",
            where="standard input",
            hint="check that this is the right file",
        )
    return content.decode("utf-8-sig", "replace")


def origin_of(key: str, options: argparse.Namespace) -> str:
    """Return which input decided a setting, for errors that only the plan can find."""
    overrides = [override for override in options.set if override.partition("=")[0] == key]
    return f"--set {overrides[-1]}" if overrides else options.config or CONFIG


def paths(settings: Settings) -> dict[str, Path]:
    """Return the folders that a run writes to, for the disk facts; none of them is touched."""
    from pathlib import Path

    root = Path(checkout())
    folders = {"prefix": root / settings.prefix, "logs": root / settings.logs, "checkout": root}
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - only the disk matters here
    if models := os.environ.get("HF_HOME"):
        folders["models"] = Path(models)
    return {**folders, "cache": Path(os.path.expanduser("~/.cache")), "tmpdir": Path(temporary)}


def addresses(settings: Settings) -> dict[str, str]:
    """Return the addresses of the package sources.

    From here on the network door trusts the certificates that pip and uv are configured with.
    """
    from provision import package_sources
    from provision.doors import certificates
    from provision.doors.addresses import default_index
    from provision.host import _installer

    config = _installer.installer_config()
    certificates.trust(config["uv"].get("cert") or config["pip"].get("cert"))
    return package_sources.addresses(
        settings, package_sources.configured(config) or default_index()
    )
