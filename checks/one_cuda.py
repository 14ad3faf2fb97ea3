"""Checks that each CUDA library is in the environment once, and that torch loads that one."""

from __future__ import annotations

import contextlib
import csv
import importlib
import re
from collections.abc import Iterable
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Needs, Verdict

# CUPTI is not among them: Triton brings its own for its profiler, and loads it by its path. Nor is
# a copy with a hash in its name: auditwheel puts it into a wheel for the extensions there, and no
# other library finds it.
_LIBRARY = re.compile(
    r"(lib(?:cudart|cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cusparseLt"
    r"|nccl|nvrtc|nvJitLink|nvshmem_host))"
    r"\.so(?:[.-](\d+))?[\w.]*"
)
_HINT = "remove the distribution that brings the second copy; unset LD_LIBRARY_PATH and LD_PRELOAD"


def body(context: Context) -> Verdict:  # noqa: ARG001 - all it needs is installed
    owners = _owners()
    copies = _copies(path for folder in _installed.folders() for path in folder.rglob("*.so*"))
    importlib.import_module("torch")
    mapped = _copies(_mapped_files())
    none = "no CUDA library is in this environment: torch loads those of the system"
    problems = [
        *([] if copies else [none]),
        *(
            f"{name} exists twice: {_describe(paths, owners)}"
            for name, paths in copies.items()
            if _differ(paths)
        ),
        *(
            f"torch loaded {name} twice: {_describe(paths, owners)}"
            for name, paths in mapped.items()
            if len(paths) > 1
        ),
        *(
            f"torch has loaded {path}, not the {name} of this environment"
            for name, paths in mapped.items()
            for path in paths
            if name in copies and path not in copies[name]
        ),
    ]
    return Verdict(
        passed=not problems,
        summary="; ".join(problems[:3])
        or f"{len(copies)} CUDA libraries, each once; torch has loaded {len(mapped)} of them",
        evidence={"libraries": _as_text(copies), "loaded": _as_text(mapped)},
        hint=_HINT if problems else "",
    )


def _copies(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the files of each CUDA library by its name without version, with links resolved."""
    copies: dict[str, set[Path]] = {}
    for path in paths:
        if match := _LIBRARY.fullmatch(path.name):
            copies.setdefault(match[1], set()).add(path.resolve())
    return {name: sorted(files) for name, files in sorted(copies.items())}


def _mapped_files() -> list[Path]:
    with Path("/proc/self/maps").open() as lines:
        return [Path(line.split(None, 5)[5].rstrip("\n")) for line in lines if line.count("/") > 1]


def _as_text(copies: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {name: [str(path) for path in paths] for name, paths in copies.items()}


def _differ(paths: list[Path]) -> bool:
    """Return whether copies differ; the same content twice on disk does no harm."""
    sizes = {path.stat().st_size for path in paths}
    return len(sizes) > 1 or (
        len(paths) > 1 and len({_installed.digest(path, "sha256") for path in paths}) > 1
    )


def _owners() -> dict[Path, str]:
    owners: dict[Path, str] = {}
    for folder in _installed.dist_infos():
        name = folder.name.removesuffix(".dist-info")
        # A missing RECORD is reported by record_whole.
        with (
            contextlib.suppress(OSError),
            (folder / "RECORD").open(encoding="utf-8", newline="") as lines,
        ):
            rows = (row[0] for row in csv.reader(lines) if row and ".so" in row[0])
            owners |= {(folder.parent / row).resolve(): name for row in rows}
    return owners


def _describe(paths: list[Path], owners: dict[Path, str]) -> str:
    return " and ".join(f"{path.name} of {owners.get(path, path.parent)}" for path in paths)


CHECK = Check(
    title="One CUDA",
    proves="every CUDA library is in this environment once, and torch has loaded that one",
    step=50,
    weight="should",
    deadline_s=120,
    needs=Needs(packages=("torch",), profile="cuda"),
    body=body,
)
