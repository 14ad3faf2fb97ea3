"""Merge a row derived from wheels into the catalogue's file, and compare the two."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace
from packaging.version import Version

from provision.catalog.rows import (
    CompiledCode,
    TorchBuild,
    TorchRelease,
    VllmBuild,
    VllmCpuRelease,
    VllmRelease,
    read_rows,
)

Release: TypeAlias = VllmRelease | TorchRelease | VllmCpuRelease
Build: TypeAlias = VllmBuild | TorchBuild

# The source and the day of a row are no difference; dates, glibc and builds have their own rules.
_NOT_COMPARED = frozenset(
    {
        "source",
        "read",
        "basis",
        "released",
        "uploaded",
        "download_mb",
        "glibc",
        "glibc_why",
        "moe_glibc",
        "builds",
    }
)


def merge(existing: bytes, row: Release) -> bytes:
    """Return the lines of the file, newest release first, with this row in its place.

    Values that the index does not state are kept: builds that are published elsewhere, the day of
    release, the CUDA of code without a compiler's trace, a glibc that pinned dependencies need.
    """
    rows = {old.version: old for old in read_rows(existing, type(row), "the catalogue")}
    old = rows.get(row.version)
    # The index does not state everything: the old row completes the new one.
    rows[row.version] = _joined(old, row) if old else row
    return msgspec.json.Encoder().encode_lines(
        sorted(rows.values(), key=lambda release: Version(release.version), reverse=True)
    )


def compare(old: Release, new: Release) -> list[str]:
    """Return the differences between file and wheel as sentences, of values that a wheel states."""
    differences = _differences(new.version, old, new)
    # Without dates on the index this is the day of the build, which is before the release.
    if new.released > old.released:
        differences.append(_difference(new.version, "released", old.released, new.released))
    for build in _builds(new):
        where = f"{new.version} {build.machine}"
        match = _counterpart(_builds(old), build)
        if match is None:
            differences.append(f"{where} {build.variant}: not in the file")
            continue
        differences += _differences(where, match, _filled(match, build))
        # The one in the file may be higher: it covers the dependencies.
        if Version(build.glibc) > Version(match.glibc):
            differences.append(_difference(where, "glibc", match.glibc, build.glibc))
    return differences


def _differences(where: str, old: msgspec.Struct, new: msgspec.Struct) -> list[str]:
    differences = []
    for field in new.__struct_fields__:
        was, now = getattr(old, field), getattr(new, field)
        if field in _NOT_COMPARED or was == now:
            continue
        if isinstance(was, CompiledCode) and isinstance(now, CompiledCode):
            differences += _differences(f"{where} {field}", was, now)
        else:
            differences.append(_difference(where, field, was, now))
    return differences


def _difference(where: str, field: str, was: object, now: object) -> str:
    return f"{where} {field}: file says {_words(was)}, wheel says {_words(now)}"


def _words(value: object) -> str:
    if isinstance(value, CompiledCode):
        return f"sm {_words(value.sm)} ptx {_words(value.ptx)}"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return (
            ", ".join(f"{name}{specifier}" for name, specifier in sorted(value.items()))
            or "nothing"
        )
    return "nothing" if value is None else str(value)


def _joined(old: Release, new: Release) -> Release:
    new = replace(new, released=old.released)
    if isinstance(old, VllmCpuRelease) and isinstance(new, VllmCpuRelease):
        return replace(new, glibc=max(old.glibc, new.glibc, key=Version))
    if not isinstance(old, VllmCpuRelease):
        # It was measured on all dependencies, which no wheel states.
        new = replace(new, download_mb=old.download_mb)
    matches = [(_counterpart(_builds(old), build), build) for build in _builds(new)]
    replaced = [match for match, _ in matches]
    builds = [_filled(match, build) if match else build for match, build in matches]
    builds += [build for build in _builds(old) if build not in replaced]
    return replace(new, builds=tuple(builds))


def _builds(release: Release) -> tuple[Build, ...]:
    return () if isinstance(release, VllmCpuRelease) else release.builds


def _counterpart(old: tuple[Build, ...], build: Build) -> Build | None:
    # PyPI has one build per machine; its CUDA may have been inferred wrongly before.
    matching = (
        candidate
        for candidate in old
        if (candidate.machine, candidate.where) == (build.machine, build.where)
        and (build.where == "pypi" or candidate.variant == build.variant)
    )
    return next(matching, None)


def _filled(old: Build, new: Build) -> Build:
    if isinstance(old, VllmBuild) and isinstance(new, VllmBuild):
        # Code from before CUDA 12.8 does not name its toolkit.
        if new.cuda is None:
            new = replace(new, cuda=old.cuda, variant=old.variant)
        new = replace(new, uploaded=new.uploaded or old.uploaded)
        # The glibc of the whole wheel already covers its mixture-of-experts part.
        if new.moe_glibc and Version(new.moe_glibc) <= Version(old.glibc):
            new = replace(new, moe_glibc=None)
        if Version(old.glibc) > Version(new.glibc):
            new = replace(new, glibc_why=old.glibc_why)
    return replace(new, glibc=max(old.glibc, new.glibc, key=Version))
