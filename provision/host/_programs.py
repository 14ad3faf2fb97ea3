"""Probes that run other programs, each with a deadline: interpreters, compilers, CUDA toolkits."""

from __future__ import annotations

import glob
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.doors import at_once, process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.doors.process import Finished

ASK_S = 5.0

PYTHON_PLACES = (
    "~/.local/share/uv/python/*/bin/python3",
    "~/.pyenv/versions/*/bin/python3",
    "~/miniconda3/bin/python3",
    "~/anaconda3/bin/python3",
    "~/miniforge3/bin/python3",
    "~/mambaforge/bin/python3",
    "/opt/conda/bin/python3",
    "/opt/miniconda3/bin/python3",
    "/opt/python/*/bin/python3",
)
# Only 64-bit CPython with the GIL: no published wheel fits anything else.
PYTHON_QUESTION = """
import json, os, sys
if sys.implementation.name != "cpython" or sys.maxsize < 2**32:
    sys.exit(1)
import sysconfig
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
try:
    import ensurepip, venv
    makes = True
except Exception:
    makes = False
v = sys.version_info
tail = {"final": ""}.get(v.releaselevel, v.releaselevel[0] + str(v.serial))
print(json.dumps({
    "version": "%d.%d.%d%s" % (v[0], v[1], v[2], tail),
    "path": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "venv": makes,
    "headers": os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
}))
"""

COMPILER = re.compile(r"(?:gcc|g\+\+|clang|clang\+\+)(?:-\d+(?:\.\d+)?)?|cc|c\+\+")
_KERNEL_LOGS = (
    ("dmesg",),
    ("journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=cat"),
)
_LINES_KEPT = 200
_PLAIN = ("gcc", "g++", "clang", "clang++")
TOOLKIT_PLACES = (
    "/usr/local/cuda*",
    "/opt/cuda*",
    "/usr/lib/cuda*",
    "/opt/nvidia/hpc_sdk/Linux_*/*/cuda/[0-9]*",
)


def pythons(prefix: str) -> list[str]:
    places = [
        *_on_path(re.compile(r"python3?(?:\.\d+)?")),
        *(path for pattern in PYTHON_PLACES for path in _matches(pattern)),
        *_below("PYENV_ROOT", "versions/*/bin/python3"),
        *_below("UV_PYTHON_INSTALL_DIR", "*/bin/python3"),
        *_below("CONDA_PREFIX", "bin/python3"),
        *_matches(f"{glob.escape(prefix)}/pythons/*/bin/python3"),
        getattr(sys, "_base_executable", sys.executable),
    ]
    paths = sorted({os.path.realpath(place) for place in places if os.access(place, os.X_OK)})
    # A broken interpreter gives no answer, and an unsuitable one refuses.
    return [
        answer.stdout.strip()
        for answer in _all_at_once([(path, "-I", "-S", "-c", PYTHON_QUESTION) for path in paths])
        if answer.ok
    ]


def kernel_log() -> list[str]:
    """Return the lines of the NVIDIA kernel module since boot. Nothing else of the log is kept."""
    answers = [
        process.run(argv, deadline_s=ASK_S, env={**os.environ, "LC_ALL": "C"})
        for argv in _KERNEL_LOGS
    ]
    # A user without access to the system's journal sees an empty one.
    output = next(
        (answer.stdout for answer in answers if answer.ok and answer.stdout.strip()), None
    )
    if output is None:
        raise PermissionError(
            "; ".join(answer.problem() or "shows nothing of the kernel" for answer in answers)
        )
    lines = [line[line.index("NVRM:") :] for line in output.splitlines() if "NVRM:" in line]
    return lines[-_LINES_KEPT:]


def compilers() -> list[dict[str, str]]:
    """Return every C and C++ compiler on PATH with its answer to --version.

    A compiler with several names has its plainest one.
    """
    paths = sorted(_on_path(COMPILER), key=lambda path: Path(path).name not in _PLAIN)
    answers = _all_at_once([(path, "--version") for path in paths])
    once: dict[tuple[str, bool, str], dict[str, str]] = {}
    for path, answer in zip(paths, answers, strict=True):
        # A wrapper such as ccache is one file too, and another compiler by each name: then it says
        # something else.
        _, _, itself = answer.stdout.partition("\n")[0].partition(" ")
        if answer.ok:
            once.setdefault(
                (os.path.realpath(path), "++" in Path(path).name, itself),
                {"path": path, "says": answer.stdout[:400]},
            )
    return list(once.values())


def cuda_toolkits() -> dict[str, Any]:
    homes = {name: os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)}
    on_path = _on_path(re.compile("nvcc"))
    folders = {
        os.path.realpath(folder)
        for folder in (
            *homes.values(),
            *(place for pattern in TOOLKIT_PLACES for place in _matches(pattern)),
            *([os.environ["CONDA_PREFIX"]] if os.environ.get("CONDA_PREFIX") else []),
            *(str(Path(os.path.realpath(nvcc)).parent.parent) for nvcc in on_path),
        )
        if Path(folder).is_dir()
    }
    looked = [_toolkit(Path(folder)) for folder in sorted(folders)]
    asked = sorted({*on_path, *(seen["nvcc"] for seen in looked if seen["nvcc"])})
    answers = _all_at_once([(nvcc, "--version") for nvcc in asked])
    says = {
        nvcc: answer.stdout[:600] for nvcc, answer in zip(asked, answers, strict=True) if answer.ok
    }
    return {
        "homes": homes,
        "on_path": {nvcc: os.path.realpath(nvcc) for nvcc in on_path},
        "folders": looked,
        "says": says,
    }


_LIBRARIES = ("cublas_v2.h", "cusparse.h", "cusolverDn.h", "curand.h")


def _toolkit(folder: Path) -> dict[str, Any]:
    headers = [folder / "include", *folder.glob("targets/*/include")]
    version = folder / "version.json"
    return {
        "path": str(folder),
        "nvcc": os.path.realpath(folder / "bin/nvcc")
        if os.access(folder / "bin/nvcc", os.X_OK)
        else "",
        "headers": any((include / "cuda_runtime.h").is_file() for include in headers),
        "libraries": all(
            any((include / name).is_file() for include in headers) for name in _LIBRARIES
        ),
        "version_json": version.read_text(errors="replace")[:20000] if version.is_file() else "",
    }


def _on_path(name: re.Pattern[str]) -> list[str]:
    executables: list[str] = []
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders = {
        os.path.realpath(folder): folder for folder in reversed(path) if folder
    }  # /bin is /usr/bin
    for folder in reversed(folders.values()):
        try:
            entries = sorted(
                entry for entry in Path(folder).iterdir() if name.fullmatch(entry.name)
            )
        except OSError:
            continue
        executables += [str(entry) for entry in entries if os.access(entry, os.X_OK)]
    return executables


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(os.path.expanduser(pattern)))


def _below(variable: str, pattern: str) -> list[str]:
    folder = os.environ.get(variable)
    return _matches(f"{glob.escape(folder)}/{pattern}") if folder else []


def _all_at_once(commands: Sequence[tuple[str, ...]]) -> list[Finished]:
    run = partial(process.run, deadline_s=ASK_S, env={**os.environ, "LC_ALL": "C"})
    return list(
        at_once.run_all(
            {number: partial(run, command) for number, command in enumerate(commands)}
        ).values()
    )
