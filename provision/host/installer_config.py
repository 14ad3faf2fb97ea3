"""What pip and uv are set up with here: indexes, find-links folders and their wheels, certificates."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings
from provision.host._word_list import words

_CONFIG = Probe("installer_config")


class InstallerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """uv's own settings go before pip's. `redirects` names the pip options that are set here and must never
    reach an environment of ours: constraint, target, user, prefix, root.
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


class _Seen(msgspec.Struct, frozen=True):
    pip: dict[str, str]
    uv: dict[str, str]
    wheels: list[str]


def parse(readings: Readings) -> InstallerConfig:
    seen = msgspec.json.decode(readings.text(_CONFIG), type=_Seen)
    pip, uv = seen.pip, seen.uv
    own = uv.get("index", "") + " " + uv.get("extra-index-url", "")
    return InstallerConfig(
        index=uv.get("default-index") or uv.get("index-url") or pip.get("index-url"),
        extra_indexes=_unique(words(own) or words(pip.get("extra-index-url", ""))),
        find_links=_unique(words(uv.get("find-links", "")) or words(pip.get("find-links", ""))),
        local_wheels=tuple(seen.wheels),
        no_index=_is_on(uv.get("no-index") or uv.get("offline") or pip.get("no-index", "")),
        cert=uv.get("cert") or pip.get("cert"),
        trusted_hosts=_unique(words(uv.get("allow-insecure-host", "")) or words(pip.get("trusted-host", ""))),
        proxy="proxy" in pip,
        redirects=tuple(
            name for name in ("constraint", "target", "user", "prefix", "root") if _is_on(pip.get(name, ""))
        ),
    )


def _is_on(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "no", "off", "false")


def _unique(items: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


FACT = Fact[InstallerConfig](name="installer_config", title="pip and uv configuration", sources=(_CONFIG,), parse=parse)
