"""Whether torch, vLLM and flash-attn carry code for every GPU that is used, as read from their files."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import _fatbin, _host, _installed
from ._contract import Check, Context, Needs, planned, tried_by_one
from ._elf import SharedObject
from ._host import Found

# What must run on every GPU, by patterns below site-packages; a part may be spread over files. All others are special
# kernels, such as FlashAttention 3: vLLM takes them where they are for the GPU.
_PARTS = {
    "torch": ("torch/lib/libtorch_cuda.so",),
    "vLLM": ("vllm/_C.*so", "vllm/_C_stable_libtorch.*so"),
    "flash-attn": ("flash_attn_2_cuda*.so",),
}
_NEVER_ABSENT = ("torch", "vLLM")


def look(context: Context) -> Found:
    """For the GPUs that are recorded; where none is here, for the kinds that the plan is for."""
    if not context.gpus:
        kinds = [{"id": f"{cc} of the plan", "cc": cc} for cc in sorted(set(planned(context)))]
        found = judge(_installed.folders(), kinds)
        return replace(found, holds=f"by the plan, {found.holds.replace('GPUs:', 'kinds of GPU:', 1)}")
    gpus = _host.told(_host.used(context), "cc", "the compute capability")
    known = {gpu["id"] for gpu in gpus}
    judged = tuple(gpu for gpu in tried_by_one(context.gpus) if gpu.partition(":")[0] in known)
    return replace(judge(_installed.folders(), gpus), gpus=judged)


def judge(folders: list[Path], gpus: list[dict[str, Any]]) -> Found:
    """The claim over the compiled files of an environment, for GPUs with `id` and `cc`."""
    problems, codes = list[str](), dict[str, _fatbin.Code]()
    for folder in folders:
        for path in sorted(folder.rglob("*.so")):
            if "nvidia" not in path.relative_to(folder).parts[:1]:  # CUDA's own libraries go with torch
                _read(path, str(path.relative_to(folder)), codes, problems)
    of_parts = {part: _merged(part, codes) for part in _PARTS}
    answers, absent = [], list[tuple[str, str]]()
    for part, code in of_parts.items():
        if code is None:
            problems += [f"{part} has no GPU code at all"] if part in _NEVER_ABSENT else []
            continue
        on = {gpu["id"]: code.on(_number(gpu["cc"])) for gpu in gpus}
        absent += [
            (gpu["id"], f"{part} has no code for {gpu['cc']}; it carries {_named(code)}")
            for gpu in gpus
            if on[gpu["id"]] == "none"
        ]
        answers.append(f"{part} {' and '.join(sorted(set(on.values())))}")
    evidence = {
        "carried": {name: {"sm": sorted(code.sm), "ptx": sorted(code.ptx)} for name, code in codes.items()},
        "gpus": {
            f"GPU {gpu['id']} ({gpu['cc']})": {name: code.on(_number(gpu["cc"])) for name, code in codes.items()}
            for gpu in gpus
        },
        "method": "fat binaries (.nv_fatbin) of every compiled file; of several, what its general kernels have",
    }
    hint = "./setup.sh plan says which build carries this GPU; vllm-ready provision puts back what was replaced"
    return Found(problems + _host.by_value(absent), f"on {len(gpus)} GPUs: {', '.join(answers)}", evidence, hint)


def _read(path: Path, name: str, codes: dict[str, _fatbin.Code], problems: list[str]) -> None:
    try:
        code = _fatbin.general(SharedObject(path).fatbin)
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return
    if code.sm or code.ptx:
        codes[name] = code


def _merged(part: str, codes: dict[str, _fatbin.Code]) -> _fatbin.Code | None:
    """Of a part that is spread over files, the one that carries most; None where no file has GPU code."""
    found = [code for name, code in codes.items() if any(fnmatch(name, each) for each in _PARTS[part])]
    return max(found, key=lambda code: len(code.sm), default=None)


def _number(capability: str) -> int:
    return int(capability.replace(".", ""))


def _named(code: _fatbin.Code) -> str:
    ptx = f", PTX {' '.join(map(str, sorted(code.ptx)))}" if code.ptx else ""
    return (f"sm_{' sm_'.join(map(str, sorted(code.sm)))}" if code.sm else "no machine code") + ptx


CHECK = Check(
    name="architecture_truth",
    title="Code for every GPU",
    proves="torch, vLLM and flash-attn carry machine code or PTX for every GPU that is used, as their files say",
    step=50,
    weight="must",
    on="environment",
    profile="passive",
    deadline_s=120,
    needs=Needs(packages=("torch", "vllm"), profile="cuda", gpus=1, recording=True, or_plan=True),
    body=_host.judged(look),
    every_gpu=True,
)
