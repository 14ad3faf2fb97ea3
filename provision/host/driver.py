"""The NVIDIA driver: the loaded module, the module for the next boot, the user-space library."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from provision.host import _nvidia_smi, nvml
from provision.host._model import Command, Fact, File, Files, Missing, Readings, Unread

MODULE = File("/sys/module/nvidia/version")
PROC = File("/proc/driver/nvidia/version")
# With its full path: /sbin is not on every user's PATH.
ON_DISK = Command(("/sbin/modinfo", "-F", "version", "nvidia"))
# These names are links whose target carries the version.
LIBRARY = Files(
    (
        "/usr/lib/*-linux-gnu/libnvidia-ml.so.1",
        "/usr/lib/*-linux-gnu/libcuda.so.1",
        "/usr/lib64/libnvidia-ml.so.1",
        "/usr/lib64/libcuda.so.1",
    )
)

_VERSION = re.compile(r"(?<![\d.])\d{3,4}(?:\.\d+){1,3}(?![\w]|\.\d)")
_LIBRARY_VERSION = re.compile(r"\.so\.(\d{3,4}(?:\.\d+)+)")


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """`version` belongs to the running kernel; the others lie on disk."""

    version: str
    on_disk: str | None = None
    library: str | None = None
    flavour: Literal["open", "proprietary"] | None = None


def version_in(text: str | None) -> str | None:
    """Return the first driver version in a text, without suffixes such as "-open"."""
    match = _VERSION.search(text or "")
    return match[0] if match else None


def _versions(readings: Readings) -> list[tuple[str, str]]:
    """Return each source with the version that it reports as loaded; the kernel itself first."""
    smi = _nvidia_smi.rows(readings) or [{}]
    return [
        (source, version)
        for source, version in (
            (MODULE.path, version_in(readings.optional(MODULE))),
            (PROC.path, version_in(readings.optional(PROC))),
            ("NVML", version_in(nvml.document(readings).driver)),
            ("nvidia-smi", version_in(smi[0].get("driver_version"))),
        )
        if version
    ]


def _library(readings: Readings) -> str | None:
    """Return the library's version. Its file name has it even if NVML refuses to answer."""
    document = nvml.document(readings)
    names = (document.library or "", *_link_targets(readings))
    matches = filter(None, map(_LIBRARY_VERSION.search, names))
    return next((match[1] for match in matches), version_in(document.driver))


def _link_targets(readings: Readings) -> list[str]:
    text = readings.optional(LIBRARY)
    targets = msgspec.json.decode(text, type=dict[str, str]) if text else {}
    return [
        target for _, target in sorted(targets.items(), reverse=True) if target.startswith("-> ")
    ]


def _flavour(readings: Readings) -> Literal["open", "proprietary"] | None:
    proc = readings.optional(PROC)
    if proc and "NVRM" in proc:
        return "open" if "Open Kernel Module" in proc else "proprietary"
    return "open" if (readings.optional(MODULE) or "").strip().endswith("-open") else None


def parse(readings: Readings) -> Driver:
    versions = _versions(readings)
    if not versions:
        reading = readings.get(MODULE)
        if reading.outcome == "ok":
            raise ValueError(f"no driver version in {reading.text[:40]!r}")
        on_disk = version_in(readings.optional(ON_DISK))
        detail = f"the module {on_disk} is installed but not loaded" if on_disk else reading.detail
        raise Unread(Missing(why=reading.outcome, detail=detail))
    return Driver(
        version=versions[0][1],
        on_disk=version_in(readings.optional(ON_DISK)),
        library=_library(readings),
        flavour=_flavour(readings),
    )


def warn(value: Driver, readings: Readings) -> list[str]:
    (first, _), *others = _versions(readings)
    texts = [
        f"{first} says driver {value.version}, {source} says {version}"
        for source, version in others
        if version != value.version
    ]
    if value.library and value.library != value.version:
        texts.append(
            f"the driver's library is {value.library} but the loaded module is {value.version}: "
            "NVML and CUDA do not start until both are the same (a reboot loads the module on disk)"
        )
    if value.on_disk and value.on_disk != value.version:
        texts.append(f"driver {value.version} is loaded; the next boot loads {value.on_disk}")
    return texts


FACT: Fact[Driver] = Fact(
    title="NVIDIA driver",
    sources=(MODULE, PROC, nvml.SOURCE, *_nvidia_smi.SOURCES, ON_DISK, LIBRARY),
    parse=parse,
    warn=warn,
)
