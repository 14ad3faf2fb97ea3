"""Puts a row derived from wheels into the catalogue's file, and says where the two differ."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace
from packaging.version import Version

from provision.catalog.rows import (
    Code,
    TorchBuild,
    TorchRelease,
    VllmBuild,
    VllmCpuRelease,
    VllmRelease,
    read_rows,
)

Release: TypeAlias = VllmRelease | TorchRelease | VllmCpuRelease
Build: TypeAlias = VllmBuild | TorchBuild

# Where and when a row was read is no difference; dates, glibc and builds have rules of their own.
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
    """The file's lines, newest release first, with this row in its place.

    What the index does not tell stays as it was: builds that are published elsewhere, the day of
    release, the CUDA of code without a compiler's trace, a glibc that pinned dependencies ask for.
    """
    rows = {old.version: old for old in read_rows(existing, type(row), "the catalogue")}
    old = rows.get(row.version)
    rows[row.version] = _joined(old, row) if old else row
    newest_first = sorted(rows.values(), key=lambda each: Version(each.version), reverse=True)
    return msgspec.json.Encoder().encode_lines(newest_first)


def compare(old: Release, new: Release) -> list[str]:
    """What the file says otherwise than the wheel, one sentence each; what no wheel tells is left out."""
    said = _differences(new.version, old, new)
    # An index without dates leaves the day of the build, which comes before the day of release.
    if new.released > old.released:
        said.append(_difference(new.version, "released", old.released, new.released))
    for build in _builds(new):
        where = f"{new.version} {build.machine}"
        match = _counterpart(_builds(old), build)
        if match is None:
            said.append(f"{where} {build.variant}: not in the file")
            continue
        said += _differences(where, match, _filled(match, build))
        # The file's may be higher: dependencies count there too.
        if Version(build.glibc) > Version(match.glibc):
            said.append(_difference(where, "glibc", match.glibc, build.glibc))
    return said


def _differences(where: str, old: msgspec.Struct, new: msgspec.Struct) -> list[str]:
    said = []
    for field in new.__struct_fields__:
        was, now = getattr(old, field), getattr(new, field)
        if field in _NOT_COMPARED or was == now:
            continue
        if isinstance(was, Code) and isinstance(now, Code):
            said += _differences(f"{where} {field}", was, now)
        else:
            said.append(_difference(where, field, was, now))
    return said


def _difference(where: str, field: str, was: object, now: object) -> str:
    return f"{where} {field}: file says {_words(was)}, wheel says {_words(now)}"


def _words(value: object) -> str:
    if isinstance(value, Code):
        return f"sm {_words(value.sm)} ptx {_words(value.ptx)}"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}{wanted}" for name, wanted in sorted(value.items())) or "nothing"
    return "nothing" if value is None else str(value)


def _joined(old: Release, new: Release) -> Release:
    new = replace(new, released=old.released)
    if isinstance(old, VllmCpuRelease) and isinstance(new, VllmCpuRelease):
        return replace(new, glibc=max(old.glibc, new.glibc, key=Version))
    if not isinstance(old, VllmCpuRelease):
        new = replace(new, download_mb=old.download_mb)  # measured on a resolved set, which no wheel tells
    matches = [(_counterpart(_builds(old), build), build) for build in _builds(new)]
    replaced = [match for match, _ in matches]
    builds = [_filled(match, build) if match else build for match, build in matches]
    builds += [build for build in _builds(old) if build not in replaced]
    return replace(new, builds=tuple(builds))


def _builds(release: Release) -> tuple[Build, ...]:
    return () if isinstance(release, VllmCpuRelease) else release.builds


def _counterpart(old: tuple[Build, ...], build: Build) -> Build | None:
    """The build that this one replaces; PyPI carries one a machine, whatever its CUDA was taken for."""
    for each in old:
        same_place = (each.machine, each.where) == (build.machine, build.where)
        if same_place and (build.where == "pypi" or each.variant == build.variant):
            return each
    return None


def _filled(old: Build, new: Build) -> Build:
    """The new build with what only the old one knows."""
    if isinstance(old, VllmBuild) and isinstance(new, VllmBuild):
        if new.cuda is None:
            new = replace(new, cuda=old.cuda, variant=old.variant)
        new = replace(new, uploaded=new.uploaded or old.uploaded)
        if new.moe_glibc and Version(new.moe_glibc) <= Version(old.glibc):
            new = replace(new, moe_glibc=None)
        if Version(old.glibc) > Version(new.glibc):
            new = replace(new, glibc_why=old.glibc_why)
    return replace(new, glibc=max(old.glibc, new.glibc, key=Version))
