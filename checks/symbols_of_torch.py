"""Checks that torch has every symbol that compiled extensions need, without loading them."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Needs, Verdict
from ._elf import ElfFile

# The driver's own libraries, missing on a host without a GPU.
_OF_THE_DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
_TORCH_SYMBOL = re.compile(r"(?:2at|3c10|5torch|6caffe2)(?=\d|[A-Z])|^(?:aoti_)?torch_|^THP")
_TORCH_LIBRARY = re.compile(r"lib(?:torch|c10)\w*\.so")
# A package may bring a variant for each torch, with the version in its name, and loads one.
_FOR_A_TORCH = re.compile(r"torch(\d)(\d+)(?!\d)")
_MULTIARCH = f"{platform.machine()}-linux-gnu"
_SYSTEM = (
    *("/lib64", "/usr/lib64", f"/lib/{_MULTIARCH}", f"/usr/lib/{_MULTIARCH}"),
    *("/lib", "/usr/lib"),
)
_HINT = "it was built for another torch: ./setup.sh provision puts back the matching one"


class _Libraries:
    """The libraries of the environment and of the system by name, each read once."""

    def __init__(self, files: list[Path]) -> None:
        self._of_environment = {path.name: path for path in reversed(files)}
        self._read: dict[str, ElfFile | None] = {}

    def find(self, name: str) -> ElfFile | None:
        if name not in self._read:
            path = next((path for path in self._candidates(name) if path.is_file()), None)
            self._read[name] = ElfFile(path) if path else None
        return self._read[name]

    def _candidates(self, name: str) -> list[Path]:
        own = self._of_environment.get(name)
        folders = [*filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")), *_SYSTEM]
        return [*([own] if own else []), *(Path(folder, name) for folder in folders)]

    def loaded_with(self, file: ElfFile) -> tuple[list[ElfFile], set[str]]:
        """Return the libraries that the linker loads with a file, and the names it cannot find."""
        queue, names, libraries = list(file.needed), set[str](), list[ElfFile]()
        while queue:
            if (name := queue.pop()) not in names:
                names.add(name)
                if library := self.find(name):
                    libraries.append(library)
                    queue += library.needed
        return libraries, {name for name in names if self._read[name] is None}


def body(context: Context) -> Verdict:  # noqa: ARG001 - all it needs is installed
    files = sorted(
        path for folder in _installed.folders() for path in folder.rglob("*.so*") if path.is_file()
    )
    return judge(files, next(iter(_installed.versions().get("torch", [])), ""))


def judge(files: list[Path], torch: str = "") -> Verdict:
    """Judge the compiled files of an environment with this version of torch."""
    others = [path for path in files if _is_for_another(path, torch)]
    files = [path for path in files if path not in others]
    of_torch = {path.name for path in files if path.parts[-3:-1] == ("torch", "lib")}
    libraries, problems, wants = _Libraries(files), list[str](), dict[str, list[str]]()
    count = 0
    for path in files:
        if "torch" in path.parts[-4:-1] or not re.search(r"\.so(?:[.\d]*)$", path.name):
            continue
        name = _short(path)
        try:
            file = ElfFile(path)
            if file.needed.isdisjoint(of_torch):
                continue
            count += 1
            unmet, absent = _unmet(file, libraries)
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        if absent:
            wants[name] = sorted(absent)
        if unmet:
            more = f" and {len(unmet) - 1} more" if len(unmet) > 1 else ""
            problems.append(f"{name} needs {unmet[0]}{more}, which this torch does not have")
    evidence = {
        "extensions": count,
        "problems": problems,
        "libraries_not_found": wants,
        "for_other_torches": [_short(path) for path in others],
    }
    if not problems and not count:
        problems = ["no extension is linked with torch"]
    return Verdict(
        passed=not problems,
        summary="; ".join(problems[:3]) or f"torch has all symbols that {count} extensions need",
        evidence=evidence,
        hint=_HINT if problems else "",
    )


def _is_for_another(path: Path, torch: str) -> bool:
    match = _FOR_A_TORCH.search(path.name)
    return bool(match and torch and torch.split(".")[:2] != [match[1], match[2]])


def _unmet(file: ElfFile, libraries: _Libraries) -> tuple[list[str], set[str]]:
    """Return the symbols that no library has, and the libraries that were not found."""
    loaded, absent = libraries.loaded_with(file)
    if missing := sorted(name for name in absent if _TORCH_LIBRARY.fullmatch(name)):
        return missing, absent
    unmet = file.undefined.difference(*(library.defined for library in loaded))
    # The interpreter itself defines Python's symbols.
    unmet = frozenset(symbol for symbol in unmet if not symbol.startswith(("Py", "_Py")))
    if absent & _OF_THE_DRIVER:
        unmet = frozenset(symbol for symbol in unmet if not symbol.startswith(("cu", "nvml")))
    # torchcodec brings a variant for each FFmpeg; of one whose FFmpeg is not here, only the
    # symbols of torch can be judged.
    if absent - _OF_THE_DRIVER:
        unmet = frozenset(symbol for symbol in unmet if _TORCH_SYMBOL.search(symbol))
    return sorted(unmet), absent


def _short(path: Path) -> str:
    parts = path.parts
    inside = "site-packages" in parts
    return "/".join(parts[parts.index("site-packages") + 1 :]) if inside else path.name


CHECK = Check(
    title="Symbols of torch",
    proves="the installed torch has every symbol that compiled extensions need, also without a GPU",
    step=50,
    profile="passive",
    deadline_s=120,
    needs=Needs(packages=("torch", "vllm")),
    body=body,
)
