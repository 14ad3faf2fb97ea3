"""Loads the compiled extensions of torch and vLLM one by one and says what the dynamic linker said."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DRIVER = "libcuda.so.1"
# A library of operators has no Python entry; asked for after it was linked and loaded.
_NO_ENTRY = "does not define module export function"


@dataclass
class Loaded:
    """What came of every extension: loaded, in want of the GPU driver's own library, failed, or not for this CPU."""

    loaded: list[str] = field(default_factory=list)
    want_driver: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    other_cpus: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def evidence(self) -> dict[str, Any]:
        return dict(vars(self))


class _Said(logging.Handler):
    """Keeps what vLLM warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def load_all(profile: str) -> Loaded:
    result = Loaded()
    extensions: dict[str, Path] = {}
    for package in ("torch", "vllm"):
        module = importlib.import_module(package)
        result.versions[package] = str(getattr(module, "__version__", ""))
        extensions |= _extensions(package, Path(str(module.__file__)).parent)
    if profile == "cpu":
        _choose_for_this_cpu(extensions, result)
    for name, path in extensions.items():
        print("loading", name, flush=True)  # the last line of the log where this ends in a crash
        # Loaded already by torch or vLLM itself: torch._C cannot be initialized twice.
        problem = "" if name in sys.modules else _problem(name, path)
        if not problem:
            result.loaded.append(name)
        elif DRIVER in problem:
            result.want_driver.append(name)
        else:
            result.failed[name] = problem
    return result


def _extensions(package: str, folder: Path) -> dict[str, Path]:
    """Module name -> file; libraries that extensions are linked with (lib*.so) are loaded by them."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.so")):
        if not path.name.startswith("lib"):
            parts = (*path.relative_to(folder).parts[:-1], path.name.partition(".")[0])
            found[".".join((package, *parts))] = path
    return found


def _choose_for_this_cpu(extensions: dict[str, Path], result: Loaded) -> None:
    """vLLM brings one extension per instruction set and takes one; another may end in an illegal instruction."""
    variants = {name for name in extensions if name == "vllm._C" or name.startswith("vllm._C_")}
    platforms, said = importlib.import_module("vllm.platforms"), _Said()
    logging.getLogger("vllm").addHandler(said)  # vLLM keeps the linker's reason for its log
    platforms.current_platform.import_kernels()
    logging.getLogger("vllm").removeHandler(said)
    mapped = Path("/proc/self/maps").read_text()
    taken = {name for name in variants if str(extensions[name].resolve()) in mapped}
    if variants and not taken:
        reason = "; ".join(said.lines) or "it did not say why"
        result.failed["vllm._C"] = f"vLLM loaded none of {', '.join(sorted(variants))}: {reason}"
    result.loaded += sorted(taken)
    result.other_cpus += sorted(variants - taken)
    for name in variants:
        del extensions[name]


def _problem(name: str, path: Path) -> str:
    # Straight from the file: what a package's own code does on import is not what is asked here.
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    try:
        if spec:
            importlib.util.module_from_spec(spec)
    except ImportError as error:
        return "" if _NO_ENTRY in str(error) else str(error)
    return ""
