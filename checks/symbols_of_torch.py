"""Whether all that compiled extensions ask of torch is in the installed torch; they are read, not loaded."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Needs, Verdict
from ._elf import SharedObject

# The driver's own, which is not there on a host without a GPU.
_OF_THE_DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
_OF_TORCH = re.compile(r"(?:2at|3c10|5torch|6caffe2)(?=\d|[A-Z])|^(?:aoti_)?torch_|^THP")
_LIBRARY_OF_TORCH = re.compile(r"lib(?:torch|c10)\w*\.so")
# Of several variants in one package, each for the torch in its name, one is loaded.
_FOR_A_TORCH = re.compile(r"torch(\d)(\d+)(?!\d)")
_MULTIARCH = f"{platform.machine()}-linux-gnu"
_SYSTEM = ("/lib64", "/usr/lib64", f"/lib/{_MULTIARCH}", f"/usr/lib/{_MULTIARCH}", "/lib", "/usr/lib")


class _Libraries:
    """The libraries of the environment and of the system by their names, each read once."""

    def __init__(self, files: list[Path]) -> None:
        self._here = {path.name: path for path in reversed(files)}
        self._read: dict[str, SharedObject | None] = {}

    def find(self, name: str) -> SharedObject | None:
        if name not in self._read:
            folders = [*filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")), *_SYSTEM]
            places = [self._here.get(name), *(Path(folder, name) for folder in folders)]
            path = next((each for each in places if each and each.is_file()), None)
            self._read[name] = SharedObject(path) if path else None
        return self._read[name]

    def beside(self, read: SharedObject) -> tuple[list[SharedObject], set[str]]:
        """Everything that is loaded with it, and the names of what is nowhere."""
        queue, seen, found = list(read.needed), set[str](), list[SharedObject]()
        while queue:
            if (name := queue.pop()) not in seen:
                seen.add(name)
                if library := self.find(name):
                    found.append(library)
                    queue += library.needed
        return found, {name for name in seen if self._read[name] is None}


def body(context: Context) -> Verdict:  # noqa: ARG001 - all it needs is installed
    files = sorted(path for folder in _installed.folders() for path in folder.rglob("*.so*") if path.is_file())
    return judge(files, next(iter(_installed.versions().get("torch", [])), ""))


def judge(files: list[Path], torch: str = "") -> Verdict:
    """The claim over the compiled files of an environment with this torch."""
    others = [path for path in files if (named := _FOR_A_TORCH.search(path.name)) and not _is(torch, *named.groups())]
    files = [path for path in files if path not in others]
    of_torch = {path.name for path in files if path.parts[-3:-1] == ("torch", "lib")}
    libraries, problems, wants = _Libraries(files), list[str](), dict[str, list[str]]()
    count = 0
    for path in files:
        if "torch" in path.parts[-4:-1] or not re.search(r"\.so(?:[.\d]*)$", path.name):
            continue
        try:
            read = SharedObject(path)
            if read.needed.isdisjoint(of_torch):
                continue
            count += 1
            unmet, absent = _unmet(read, libraries)
        except ValueError as error:
            problems.append(f"{_shown(path)}: {error}")
            continue
        if absent:
            wants[_shown(path)] = sorted(absent)
        if unmet:
            more = f" and {len(unmet) - 1} more" if len(unmet) > 1 else ""
            problems.append(f"{_shown(path)} needs {unmet[0]}{more}, which this torch does not have")
    evidence = {"extensions": count, "problems": problems, "libraries_not_found": wants}
    evidence["for_other_torches"] = [_shown(path) for path in others]
    if problems or not count:
        return Verdict(
            passed=False,
            summary="; ".join(problems[:3]) or "no extension is linked with torch",
            evidence=evidence,
            hint="it was built for another torch: vllm-ready provision puts back what belongs together",
        )
    return Verdict(
        passed=True, summary=f"all symbols that {count} extensions ask of torch are there", evidence=evidence
    )


def _is(torch: str, major: str, minor: str) -> bool:
    return not torch or torch.split(".")[:2] == [major, minor]


def _unmet(read: SharedObject, libraries: _Libraries) -> tuple[list[str], set[str]]:
    beside, absent = libraries.beside(read)
    if of_torch := sorted(name for name in absent if _LIBRARY_OF_TORCH.fullmatch(name)):
        return of_torch, absent
    unmet = read.undefined.difference(*(library.defined for library in beside))
    unmet = frozenset(symbol for symbol in unmet if not symbol.startswith(("Py", "_Py")))
    if absent & _OF_THE_DRIVER:
        unmet = frozenset(symbol for symbol in unmet if not symbol.startswith(("cu", "nvml")))
    if absent - _OF_THE_DRIVER:  # a variant for other libraries, as torchcodec brings several: judge what is torch's
        unmet = frozenset(symbol for symbol in unmet if _OF_TORCH.search(symbol))
    return sorted(unmet), absent


def _shown(path: Path) -> str:
    parts = path.parts
    return "/".join(parts[parts.index("site-packages") + 1 :]) if "site-packages" in parts else path.name


CHECK = Check(
    name="symbols_of_torch",
    title="Symbols of torch",
    proves="every symbol that compiled extensions ask of torch is in the installed torch, also where no GPU is there",
    step=50,
    weight="must",
    on="environment",
    profile="passive",
    deadline_s=120,
    needs=Needs(packages=("torch", "vllm")),
    body=body,
)
