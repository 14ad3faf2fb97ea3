"""The input of every verb: settings, a described host, paths, and addresses of package sources."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `plan` imports these modules only if it needs them
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from provision.errors import IncompleteHost
    from provision.host._model import Host
    from provision.host.facts_read import Assumption
    from provision.host.from_text import HostText
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
    from provision.host import from_text

    text = host_text(options.host)
    if may_be_empty and "".join(text.split()) == "{}":
        from provision.host._model import Host

        return Host(described={})
    return from_text.parse(text, host_name(options.host))


def target_host(options: argparse.Namespace, settings: Settings) -> Host:
    """Return the host to build for. What its text leaves open is assumed only with --assume."""
    from provision.host import assume, from_text

    told = from_text.read(host_text(options.host), host_name(options.host))
    host, assumed = assume.complete(told.host, settings.python)
    if assumed and not options.assume:
        raise left_open(told, assumed, options, or_else=", or accept what is likely: --assume")
    return host


def left_open(
    told: HostText,
    assumed: tuple[Assumption, ...],
    options: argparse.Namespace,
    or_else: str = "",
) -> IncompleteHost:
    """Return the refusal of a text that leaves facts open, with the lines that would tell them."""
    from provision.errors import IncompleteHost
    from provision.host import what_was_read

    names = [said.fact for said in assumed]
    lines = [fact.add for fact in what_was_read.missing(told) if fact.fact in names]
    return IncompleteHost(
        "does not tell " + "; ".join(f"{said.fact} (likely {said.value})" for said in assumed),
        where=host_name(options.host),
        hint=f"{to_add(lines)}{or_else}",
    )


def to_add(lines: Sequence[str]) -> str:
    quoted = " and ".join(f"`{line}`" for line in lines)
    return f"add the line{'s' if len(lines) > 1 else ''} {quoted}"


def host_text(path: str) -> str:
    """Return a text about a host: that of a file, or of stdin for "-"."""
    from provision.doors import files

    return _standard_input() if path == "-" else files.read_text(path, _HOST_LIMIT)


def host_name(path: str | None) -> str:
    return {None: "this host", "-": "standard input"}.get(path) or str(path)


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
