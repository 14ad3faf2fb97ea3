"""The fabric manager, without which GPUs behind NVSwitches do not start."""

from __future__ import annotations

import msgspec

from provision.host import driver, nvml
from provision.host._model import Command, Fact, Files, Readings, Unread

VERSION = Command(("nv-fabricmanager", "--version"))
SERVICE = Command(
    (
        "systemctl",
        "show",
        "nvidia-fabricmanager.service",
        "--property=LoadState,ActiveState,UnitFileState",
    )
)
PID = Files(("/run/nvidia-fabricmanager/*.pid",))


class FabricManager(msgspec.Struct, frozen=True, kw_only=True):
    """`running` and `enabled` are None if no source tells, as in most containers."""

    version: str | None = None
    running: bool | None = None
    enabled: bool | None = None


def _service(readings: Readings) -> dict[str, str]:
    """Return what systemd knows of the service; empty if there is no such unit."""
    properties = dict(
        line.split("=", 1)
        for line in (readings.optional(SERVICE) or "").splitlines()
        if "=" in line
    )
    return properties if properties.get("LoadState") in {"loaded", "masked"} else {}


def parse(readings: Readings) -> FabricManager:
    version = driver.version_in(readings.optional(VERSION))
    service = _service(readings)
    has_pid = readings.get(PID).outcome == "ok"
    if not (version or service or has_pid):
        # Raises Unread with the reason if there is no text at all.
        raise ValueError(f"no version in {readings.text(VERSION)[:60]!r}")
    running = service["ActiveState"] == "active" if "ActiveState" in service else has_pid or None
    return FabricManager(
        version=version,
        running=running,
        enabled=service["UnitFileState"] == "enabled" if "UnitFileState" in service else None,
    )


def warn(value: FabricManager, readings: Readings) -> list[str]:
    try:
        loaded = driver.parse(readings).version
    except (Unread, ValueError):
        return []
    if value.version and value.version != loaded:
        return [f"fabric manager {value.version} does not match driver {loaded}; install {loaded}"]
    return []


FACT: Fact[FabricManager] = Fact(
    sources=(VERSION, SERVICE, PID, driver.MODULE, driver.PROC, nvml.SOURCE),
    parse=parse,
    warn=warn,
)
