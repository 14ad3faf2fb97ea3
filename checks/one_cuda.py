"""Whether each CUDA library is in the environment once, and torch loads that one and no other."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib
import re
from collections.abc import Iterable
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Needs, Verdict

# CUPTI is not among them: Triton brings one of its own for its profiler, which loads it by its path when asked. Nor is
# a copy with a hash in its name: auditwheel put it into a wheel for the extensions there, and nobody else finds it.
_LIBRARY = re.compile(
    r"(lib(?:cudart|cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cusparseLt|nccl|nvrtc|nvJitLink|nvshmem_host))"
    r"\.so(?:[.-](\d+))?[\w.]*"
)


def body(context: Context) -> Verdict:  # noqa: ARG001 - all it needs is installed
    owners = _owners()
    copies = _copies(path for folder in _installed.folders() for path in folder.rglob("*.so*"))
    importlib.import_module("torch")
    mapped = _copies(Path(line.split(None, 5)[5].rstrip("\n")) for line in _maps() if line.count("/") > 1)
    problems = [] if copies else ["no CUDA library is in this environment: torch takes whatever the system has"]
    problems += [
        *(f"{name} is there twice: {_named(paths, owners)}" for name, paths in copies.items() if _differ(paths)),
        *(f"torch loaded {name} twice: {_named(paths, owners)}" for name, paths in mapped.items() if len(paths) > 1),
        *(
            f"torch has loaded {path}, not the {name} of this environment"
            for name, paths in mapped.items()
            for path in paths
            if name in copies and path not in copies[name]
        ),
    ]
    evidence = {
        "libraries": {name: [str(path) for path in paths] for name, paths in copies.items()},
        "loaded": {name: [str(path) for path in paths] for name, paths in mapped.items()},
    }
    if problems:
        return Verdict(
            passed=False,
            summary="; ".join(problems[:3]),
            evidence=evidence,
            hint="take out the distribution that brings the second copy; unset LD_LIBRARY_PATH and LD_PRELOAD",
        )
    summary = f"{len(copies)} CUDA libraries, each once; torch has loaded {len(mapped)} of them"
    return Verdict(passed=True, summary=summary, evidence=evidence)


def _copies(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Every file of a CUDA library by its name without version; links count as what they lead to."""
    found: dict[str, set[Path]] = {}
    for path in paths:
        if match := _LIBRARY.fullmatch(path.name):
            found.setdefault(match[1], set()).add(path.resolve())
    return {name: sorted(each) for name, each in sorted(found.items())}


def _maps() -> list[str]:
    with Path("/proc/self/maps").open() as lines:
        return list(lines)


def _differ(paths: list[Path]) -> bool:
    """Copies of the same content are the same library twice on disk, and no trouble."""
    if len({path.stat().st_size for path in paths}) > 1:
        return True
    return len(paths) > 1 and len({_digest(path) for path in paths}) > 1


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        summed = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            summed.update(chunk)
    return summed.hexdigest()


def _owners() -> dict[Path, str]:
    """Which distribution brings a file, as its RECORD says."""
    found: dict[Path, str] = {}
    for folder in _installed.dist_infos():
        # record_whole says that it is missing
        with contextlib.suppress(OSError), (folder / "RECORD").open(encoding="utf-8", newline="") as lines:
            rows = (row[0] for row in csv.reader(lines) if row and ".so" in row[0])
            found |= {(folder.parent / row).resolve(): folder.name.removesuffix(".dist-info") for row in rows}
    return found


def _named(paths: list[Path], owners: dict[Path, str]) -> str:
    return " and ".join(f"{path.name} of {owners.get(path, path.parent)}" for path in paths)


CHECK = Check(
    name="one_cuda",
    title="One CUDA",
    proves="every CUDA library is in this environment once, and torch has loaded that one",
    step=50,
    weight="should",
    on="environment",
    profile="quick",
    deadline_s=120,
    needs=Needs(packages=("torch",), profile="cuda"),
    body=body,
)
