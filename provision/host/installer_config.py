"""The configuration of pip and uv: indexes, find-links folders and their wheels, certificates."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings
from provision.host._word_list import words

_CONFIG = Probe("installer_config")


class InstallerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """uv's own settings take precedence over pip's.

    `redirects` names the pip options that are set and must never reach our environments:
    constraint, target, user, prefix, root.
    """

    index: str | None = None
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    local_wheels: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    proxy: bool = False
    redirects: tuple[str, ...] = ()


class _Options(msgspec.Struct, frozen=True):
    pip: dict[str, str]
    uv: dict[str, str]
    wheels: list[str]


def parse(readings: Readings) -> InstallerConfig:
    options = msgspec.json.decode(readings.text(_CONFIG), type=_Options)
    pip, uv = options.pip, options.uv
    uv_indexes = uv.get("index", "") + " " + uv.get("extra-index-url", "")
    return InstallerConfig(
        index=uv.get("default-index") or uv.get("index-url") or pip.get("index-url"),
        extra_indexes=_unique(words(uv_indexes) or words(pip.get("extra-index-url", ""))),
        find_links=_unique(words(uv.get("find-links", "")) or words(pip.get("find-links", ""))),
        local_wheels=tuple(options.wheels),
        no_index=_is_on(uv.get("no-index") or uv.get("offline") or pip.get("no-index", "")),
        cert=uv.get("cert") or pip.get("cert"),
        trusted_hosts=_unique(
            words(uv.get("allow-insecure-host", "")) or words(pip.get("trusted-host", ""))
        ),
        proxy="proxy" in pip,
        redirects=tuple(
            name
            for name in ("constraint", "target", "user", "prefix", "root")
            if _is_on(pip.get(name, ""))
        ),
    )


def _is_on(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "no", "off", "false")


def _unique(items: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


FACT = Fact[InstallerConfig](title="pip and uv configuration", sources=(_CONFIG,), parse=parse)
