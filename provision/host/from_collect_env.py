"""Read the pasted output of vLLM's or torch's `collect_env` into a Host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provision.host import (
    _accelerator_clues,
    _titles,
    accelerators,
    cpu,
    driver,
    glibc,
    gpu_links,
    gpus,
    machine,
    packages,
    pasted,
    pythons,
    wsl,
)
from provision.host._model import Host, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

_TITLES = (
    "pytorch version",
    "gpu models and configuration",
    "nvidia driver version",
    "libc version",
)
_SHARED_TITLES = (
    "os",
    "gcc version",
    "python version",
    "python platform",
    "cuda used to build pytorch",
    "is cuda available",
    "cuda runtime version",
    "cudnn version",
    "is xnnpack available",
    "vllm version",
)

_NOTHING = re.compile(r"(?:n/a|none|no cuda|could not collect|unknown)?", re.IGNORECASE)
_GPU = re.compile(r"GPU (\d{1,3})\s?:\s*(\S.*)")
_GPU_NAME = re.compile(
    r"NVIDIA|Tesla|GeForce|Quadro|TITAN|GRID|RTX|Orin|Thor|Xavier|(?:GB|GH|[ABHLMPTV])\d{1,4}\b"
)
_OTHER_MAKER = re.compile(r"AMD|Radeon|Intel|.*\(gfx\d", re.IGNORECASE)
_AFTER_NAME = re.compile(r"\s*\((?:UUID|arch|compute|cc\b|sm_).*", re.IGNORECASE)
_MIG = re.compile(r"MIG (\d+[cg]\.\S+)\s+Device\s+(\d{1,2})")
_CC = re.compile(r"\((?:arch\s*=|compute capability|cc)\s*[:=]?\s*(\d{1,2}\.\d)\b", re.IGNORECASE)
_CC_WARNING = re.compile(r"Found GPU(\d{1,3}) .{1,80}? which is of cuda capability (\d{1,2}\.\d)\b")
_DRIVER_TABLE = re.compile(r"Driver Version\s*:\s*(\d[\d.]+)")
_MACHINE = re.compile(
    r"(?<![A-Za-z0-9])(x86_64|aarch64|ppc64le|s390x|riscv64|amd64|arm64)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_WITHOUT_WHEELS = {
    "Windows": re.compile(r"(?:Microsoft )?Windows\b"),
    "macOS": re.compile(r"mac ?os", re.IGNORECASE),
}
_PYTHON = re.compile(r"\d\.\d{1,2}(?:\.\d{1,2})?(?![\d.])")
_PACKAGE = re.compile(r"\[(?:pip3?|conda)\]\s+([A-Za-z][\w.-]*)(?:==|\s+)(\d[\w.+!-]*)")
_VERSION = re.compile(r"\d+\.\d+[\w.+!-]*")


def looks_like(text: str) -> bool:
    """Return True for such a text or a part: an own title, two shared titles, or GPUs."""
    lines = [line.text for line in pasted.read_lines(text)]
    pairs = _titles.pairs(lines)
    keys = pairs.keys()
    return (
        any(title in keys for title in _TITLES)
        or sum(title in keys for title in _SHARED_TITLES) > 1
        or bool(_listed(lines))
        or bool(_accelerators(lines, pairs, None))
    )


def parse(text: str, name: str) -> Host:
    """Read everything that the text says. Messages about missing values call the text `name`."""
    lines = [line.text for line in pasted.read_lines(text)]
    pairs = _titles.pairs(lines)
    listed = _gpus(lines, pairs, name, cut=not text.endswith(("\n", "\r")))
    described: dict[str, object] = {
        gpus.FACT.name: listed,
        accelerators.FACT.name: _accelerators(lines, pairs, listed) or None,
        driver.FACT.name: _driver(lines, pairs, name),
        gpu_links.FACT.name: _links(lines),
        pythons.FACT.name: _pythons(pairs),
        glibc.FACT.name: _glibc(pairs, name),
        machine.FACT.name: _machine(pairs),
        wsl.FACT.name: _wsl(pairs),
        cpu.FACT.name: _cpu(pairs),
        packages.FACT.name: _packages(lines, pairs),
    }
    return Host(described={fact: value for fact, value in described.items() if value is not None})


def _first(pattern: re.Pattern[str], values: Iterable[str]) -> str | None:
    """Return the first group, or the whole match, of the first value that matches."""
    matches = (pattern.search(value) for value in values)
    return next((str(match[match.lastindex or 0]) for match in matches if match), None)


def _gpus(
    lines: list[str], pairs: _titles.Pairs, name: str, *, cut: bool
) -> tuple[gpus.Gpu, ...] | Missing | None:
    if gpu_lines := _listed(lines):
        if cut:
            _mend_cut_name(gpu_lines, lines[-1])
        warnings = [match for line in lines if (match := _CC_WARNING.search(line))]
        capabilities: dict[str, str] = {match[1]: match[2] for match in warnings}
        return tuple(
            _gpu(number, lines_of_gpu, capabilities.get(str(number)))
            for number, lines_of_gpu in sorted(gpu_lines.items())
        )
    titled = pairs.get("gpu models and configuration")
    if titled is None:
        return None
    value = titled[0]
    if value.lower() == "no cuda":  # collect_env's words for torch without driver and GPU
        return ()
    if _NOTHING.fullmatch(value):
        return Missing(why="not read", detail=f"{name} lists no GPU: {value or 'nothing'!r}")
    return Missing(why="absent", detail=f"{name} lists no NVIDIA GPU: {value[:80]!r}")


def _listed(lines: list[str]) -> dict[int, list[str]]:
    """Return the name and the MIG lines of each GPU by number. A repeated number ends the list."""
    listed: dict[int, list[str]] = {}
    current: list[str] = []
    in_list = False  # of collect_env, where a cloud may give a GPU any name
    for line in lines:
        in_list = line.startswith("GPU models") or (in_list and bool(_GPU.match(line)))
        part = (
            line.partition("configuration")[2].lstrip(" :")
            if line.startswith("GPU models")
            else line
        )
        gpu, mig = _GPU.match(part), _MIG.match(part)
        nvidia = gpu and (
            _GPU_NAME.match(gpu[2])
            or (in_list and not _OTHER_MAKER.match(gpu[2]) and not accelerators.by_name(gpu[2]))
        )
        if gpu and nvidia:
            if int(gpu[1]) in listed:
                break
            current = listed[int(gpu[1])] = [gpu[2]]
        elif mig:
            current.append(part)
        elif part:
            current = []
    return listed


def _mend_cut_name(listed: dict[int, list[str]], last_line: str) -> None:
    """Complete a name at the end of a cut text: "A10" beside three "A100" is an A100."""
    last_number = list(listed)[-1]
    cut = listed[last_number][0]
    complete_names = [
        gpu_lines[0]
        for number, gpu_lines in listed.items()
        if number != last_number and gpu_lines[0].startswith(cut)
    ]
    if len(listed[last_number]) == 1 and last_line.endswith(cut) and complete_names:
        listed[last_number] = [complete_names[-1]]


def _gpu(number: int, gpu_lines: list[str], cc: str | None) -> gpus.Gpu:
    name = _AFTER_NAME.sub("", gpu_lines[0]).strip()
    slices = tuple(
        _slice(number, match[1], match[2])
        for match in (_MIG.match(line) for line in gpu_lines[1:])
        if match
    )
    return gpus.Gpu(
        id=str(number),
        name=name,
        cc=_first(_CC, gpu_lines[:1]) or cc,
        mig=True if slices else None,
        slices=slices,
        vgpu=gpus.is_vgpu(name),
        integrated=gpus.is_integrated(name),
    )


def _slice(gpu: int, profile: str, index: str) -> gpus.MigSlice:
    memory = _first(re.compile(r"\.(\d+)gb"), [profile])
    return gpus.MigSlice(
        id=f"{gpu}:{int(index)}", profile=profile, memory_gb=float(memory) if memory else None
    )


def _accelerators(
    lines: list[str], pairs: _titles.Pairs, listed: tuple[gpus.Gpu, ...] | Missing | None
) -> tuple[accelerators.Accelerator, ...]:
    nvidia = isinstance(listed, tuple) and bool(listed)
    return _accelerator_clues.read(lines, pairs, nvidia=nvidia)


def _driver(lines: list[str], pairs: _titles.Pairs, name: str) -> driver.Driver | Missing | None:
    values = pairs.get("nvidia driver version", [])
    versions = (driver.version_in(text) for text in (*values, _first(_DRIVER_TABLE, lines)))
    if version := next(filter(None, versions), None):
        return driver.Driver(version=version)
    if not values or _listed(lines):  # GPUs were listed, so there is a driver of unknown version
        return None
    return Missing(
        why="absent" if _NOTHING.fullmatch(values[0]) else "unparsable",
        detail=f"{name} says {values[0][:40]!r}",
    )


def _links(lines: list[str]) -> gpu_links.GpuLinks | None:
    links = gpu_links.matrix("\n".join(lines))
    return gpu_links.GpuLinks(pairs=links) if links else None


def _pythons(pairs: _titles.Pairs) -> tuple[pythons.Python, ...] | None:
    version = _first(_PYTHON, pairs.get("python version", []))
    return (pythons.Python(version=version),) if version else None


def _glibc(pairs: _titles.Pairs, name: str) -> str | Missing | None:
    values = [*pairs.get("libc version", []), *pairs.get("python platform", [])]
    version = _first(re.compile(r"glibc-?(\d+\.\d+)"), values)
    if version or not values:
        return version
    return Missing(why="absent", detail=f"{name} names no glibc: {values[-1][:80]!r}")


def _machine(pairs: _titles.Pairs) -> str | None:
    """Return the machine. Debian's kernels are called "amd64" and "arm64" on x86_64 and aarch64."""
    # On Windows and macOS the processor does not matter: vLLM has no wheel for either.
    for system, name in _WITHOUT_WHEELS.items():
        if any(
            name.match(value)
            for title in ("python platform", "os")
            for value in pairs.get(title, [])
        ):
            return system
    for title in ("python platform", "os", "architecture"):
        if words := [
            match[1].lower() for value in pairs.get(title, []) for match in _MACHINE.finditer(value)
        ]:
            kernel_names = (word for word in words if word not in {"amd64", "arm64"})
            return next(kernel_names, {"amd64": "x86_64", "arm64": "aarch64"}.get(words[0]))
    return None


def _wsl(pairs: _titles.Pairs) -> bool | None:
    platforms = pairs.get("python platform")
    return any("microsoft" in value.lower() for value in platforms) if platforms else None


def _cpu(pairs: _titles.Pairs) -> cpu.Cpu | None:
    def number(title: str) -> int | None:
        processor = _first(re.compile(r"^\d{1,5}\b"), pairs.get(title, []))
        return int(processor) if processor else None

    flags = next(iter(pairs.get("flags", [])), "")
    sockets, cores_per_socket = number("socket(s)"), number("core(s) per socket")
    processor = cpu.Cpu(
        model=next(iter(pairs.get("model name", [])), None),
        cores=sockets * cores_per_socket if sockets and cores_per_socket else None,
        flags=cpu.known_flags(flags) if flags else None,
        numa_nodes=number("numa node(s)"),
    )
    return processor if processor != cpu.Cpu() else None


def _packages(lines: list[str], pairs: _titles.Pairs) -> dict[str, str] | None:
    """Return package versions; only torch's own title has its local version, "+cu128"."""
    versions: dict[str, str] = {}
    for distribution, title in (("torch", "pytorch version"), ("vllm", "vllm version")):
        if version := _first(re.compile(rf"^{_VERSION.pattern}"), pairs.get(title, [])):
            versions[distribution] = version
    for line in lines:
        if match := _PACKAGE.match(line):
            versions.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return versions or None
