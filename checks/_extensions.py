"""Loads the compiled extensions of torch and vLLM one by one and collects the linker's messages."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging.handlers
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DRIVER = "libcuda.so.1"
# Python tries these in order.
_SUFFIXES = importlib.machinery.EXTENSION_SUFFIXES
# Python says this of a library of operators, which has no entry for Python. It says so only after
# the library was linked and loaded, which is the claim.
_NO_ENTRY = "does not define module export function"


@dataclass
class Loaded:
    """The extensions by outcome; some lack only the GPU driver, some are for other CPUs."""

    loaded: list[str] = field(default_factory=list)
    want_driver: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    other_cpus: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def evidence(self) -> dict[str, Any]:
        return dict(vars(self))


def load_all(profile: str) -> Loaded:
    result = Loaded()
    extensions: dict[str, Path] = {}
    for package in ("torch", "vllm"):
        module = importlib.import_module(package)
        result.versions[package] = str(getattr(module, "__version__", ""))
        extensions |= _extensions(package, Path(str(module.__file__)).parent, result)
    if profile == "cpu":
        _choose_for_this_cpu(extensions, result)
    for name, path in extensions.items():
        print("loading", name, flush=True)  # the last line of the log if this ends in a crash
        # Extensions that torch or vLLM loaded themselves: torch._C cannot be initialized twice.
        problem = "" if name in sys.modules else _problem(name, path)
        if not problem:
            result.loaded.append(name)
        elif DRIVER in problem:
            result.want_driver.append(name)
        else:
            result.failed[name] = problem
    return result


def _extensions(package: str, folder: Path, result: Loaded) -> dict[str, Path]:
    """Return the extensions by module name: of each the file that this Python imports.

    A wheel may bring one file for each Python. A module without a file for this one has failed.
    """
    # Libraries that extensions are linked with (lib*.so) are loaded together with them.
    modules: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.so")):
        if not path.name.startswith("lib"):
            parts = (*path.relative_to(folder).parts[:-1], path.name.partition(".")[0])
            modules.setdefault(".".join((package, *parts)), []).append(path)
    chosen = {}
    for name, paths in modules.items():
        if fitting := [path for path in paths if _suffix(path) in _SUFFIXES]:
            chosen[name] = min(fitting, key=lambda path: _SUFFIXES.index(_suffix(path)))
        else:
            files = ", ".join(path.name for path in paths)
            result.failed[name] = f"no file is for this Python, only {files}"
    return chosen


def _suffix(path: Path) -> str:
    """Return the name from its first dot on: ".cpython-311-x86_64-linux-gnu.so"."""
    return path.name.removeprefix(path.name.partition(".")[0])


def _choose_for_this_cpu(extensions: dict[str, Path], result: Loaded) -> None:
    """Have vLLM load its extension for this CPU, and take all variants out of the list.

    vLLM brings one per instruction set; loading another can end in an illegal instruction.
    """
    variants = {name for name in extensions if name == "vllm._C" or name.startswith("vllm._C_")}
    platforms = importlib.import_module("vllm.platforms")
    warnings = logging.handlers.BufferingHandler(10_000)
    warnings.setLevel(logging.WARNING)
    logging.getLogger("vllm").addHandler(warnings)  # vLLM logs the linker's reason, and goes on
    platforms.current_platform.import_kernels()
    logging.getLogger("vllm").removeHandler(warnings)
    mapped = Path("/proc/self/maps").read_text()
    chosen = {name for name in variants if str(extensions[name].resolve()) in mapped}
    if variants and not chosen:
        reason = (
            "; ".join(record.getMessage() for record in warnings.buffer) or "it did not say why"
        )
        result.failed["vllm._C"] = f"vLLM loaded none of {', '.join(sorted(variants))}: {reason}"
    result.loaded += sorted(chosen)
    result.other_cpus += sorted(variants - chosen)
    for name in variants:
        del extensions[name]


def _problem(name: str, path: Path) -> str:
    # Load the file directly: the package's own code on import is not part of the claim.
    spec = importlib.util.spec_from_file_location(
        name, path, loader=importlib.machinery.ExtensionFileLoader(name, str(path))
    )
    try:
        if spec:
            importlib.util.module_from_spec(spec)
    except ImportError as error:
        return "" if _NO_ENTRY in str(error) else str(error)
    return ""
