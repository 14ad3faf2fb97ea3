"""Checks that torch, vLLM and flash-attn carry code for every GPU in use, as their files say."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import _fatbin, _host, _installed
from ._contract import Check, Context, Needs, gpus_of_one_process, planned_capabilities
from ._elf import ElfFile
from ._fatbin import GpuCode
from ._host import Observation

# Patterns of the files that must run on every GPU; a part may be spread over several. All other
# files hold special kernels, such as FlashAttention 3, which vLLM uses only on the right GPU.
_PARTS = {
    "torch": ("torch/lib/libtorch_cuda.so",),
    "vLLM": ("vllm/_C.*so", "vllm/_C_stable_libtorch.*so"),
    "flash-attn": ("flash_attn_2_cuda*.so",),
}
_ALWAYS_PRESENT = ("torch", "vLLM")
_METHOD = (
    "fat binaries (.nv_fatbin) of every compiled file; of several, what its general kernels have"
)
_HINT = (
    "./setup.sh plan says which build carries this GPU; "
    "./setup.sh provision puts back what was replaced"
)


def look(context: Context) -> Observation:
    """Judge the recorded GPUs; on a host without GPUs, the kinds of GPU of the plan."""
    folders = _installed.folders()
    if not context.gpus:
        capabilities = sorted(set(planned_capabilities(context)))
        observation = judge(folders, [{"id": f"{cc} of the plan", "cc": cc} for cc in capabilities])
        holds = observation.holds.replace("GPUs:", "kinds of GPU:", 1)
        return replace(observation, holds=f"by the plan, {holds}")
    gpus = _host.with_field(_host.used_gpus(context), "cc", "the compute capability")
    known = {gpu["id"] for gpu in gpus}
    known_gpus = tuple(
        gpu for gpu in gpus_of_one_process(context.gpus) if gpu.partition(":")[0] in known
    )
    return replace(judge(folders, gpus), gpus=known_gpus)


def judge(folders: list[Path], gpus: list[dict[str, Any]]) -> Observation:
    """Judge the compiled files of an environment for GPUs with `id` and `cc`."""
    problems, codes = list[str](), dict[str, GpuCode]()
    for folder in folders:
        for path in sorted(folder.rglob("*.so")):
            # CUDA's own libraries (nvidia/) have the architectures of their torch.
            if "nvidia" not in path.relative_to(folder).parts[:1]:
                _read(path, str(path.relative_to(folder)), codes, problems)
    parts, missing = [], list[tuple[str, str]]()
    for part in _PARTS:
        code = _widest(part, codes)
        if code is None:
            problems += [f"{part} has no GPU code at all"] if part in _ALWAYS_PRESENT else []
            continue
        modes = {gpu["id"]: code.on(_number(gpu["cc"])) for gpu in gpus}
        missing += [
            (gpu["id"], f"{part} has no code for {gpu['cc']}; it carries {_describe(code)}")
            for gpu in gpus
            if modes[gpu["id"]] == "none"
        ]
        parts.append(f"{part} {' and '.join(sorted(set(modes.values())))}")
    evidence = {
        "carried": {
            name: {"sm": sorted(code.sm), "ptx": sorted(code.ptx)} for name, code in codes.items()
        },
        "gpus": {
            f"GPU {gpu['id']} ({gpu['cc']})": {
                name: code.on(_number(gpu["cc"])) for name, code in codes.items()
            }
            for gpu in gpus
        },
        "method": _METHOD,
    }
    problems += _host.group_by_text(missing)
    return Observation(problems, f"on {len(gpus)} GPUs: {', '.join(parts)}", evidence, _HINT)


def _read(path: Path, name: str, codes: dict[str, GpuCode], problems: list[str]) -> None:
    try:
        code = _fatbin.general(ElfFile(path).fatbin)
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return
    if code.sm or code.ptx:
        codes[name] = code


def _widest(part: str, codes: dict[str, GpuCode]) -> GpuCode | None:
    """Return the code of the file that carries most; None if no file of the part has GPU code."""
    matches = (
        code
        for name, code in codes.items()
        if any(fnmatch(name, pattern) for pattern in _PARTS[part])
    )
    return max(matches, key=lambda code: len(code.sm), default=None)


def _number(capability: str) -> int:
    return int(capability.replace(".", ""))


def _describe(code: GpuCode) -> str:
    ptx = f", PTX {' '.join(map(str, sorted(code.ptx)))}" if code.ptx else ""
    machine_code = f"sm_{' sm_'.join(map(str, sorted(code.sm)))}" if code.sm else "no machine code"
    return machine_code + ptx


CHECK = Check(
    title="Code for every GPU",
    proves="torch, vLLM and flash-attn carry machine code or PTX for every GPU in use",
    step=50,
    profile="passive",
    deadline_s=120,
    needs=Needs(packages=("torch", "vllm"), profile="cuda", gpus=1, recording=True, or_plan=True),
    body=_host.body(look),
    every_gpu=True,
)
