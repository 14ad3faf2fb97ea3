"""Checks that flash-attn 2 links with this torch and computes attention right on every GPU."""

from __future__ import annotations

import functools
import importlib
from functools import partial
from typing import Any

from . import _devices, _flash_attn, _flash_attn_packages, _forward_and_backward, _timing
from ._contract import Check, Context, Needs, Verdict

_LEAST = _flash_attn_packages.TWO.least  # it has no code for older GPUs
_BATCH, _LENGTH, _HEADS, _WIDTH = 2, 512, 12, 64


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    try:
        flash_attn: Any = importlib.import_module("flash_attn")
        importlib.import_module(_flash_attn.MODULE)
    except Exception as error:  # noqa: BLE001 - any exception keeps vLLM from starting, too
        return Verdict(
            passed=False,
            summary=f"does not load: {type(error).__name__}: {error}",
            hint="it was built for another torch; flash_attn.mode: none goes without it",
        )
    versions = {"torch": str(torch.__version__), "flash_attn": str(flash_attn.__version__)}
    package = f"flash-attn {versions['flash_attn']}"
    if not context.gpus:
        return Verdict(
            passed=True,
            summary=f"{package} loads beside torch {versions['torch']}; nothing was computed, "
            "since no GPU is used here",
            evidence=versions,
        )
    return _devices.try_on_each(
        context,
        partial(_try, flash_attn),
        f"{package} is right forward and backward, in varied lengths and with a KV cache",
        least=_LEAST,
    )


def _try(flash_attn: Any, torch: Any, device: str) -> _devices.DeviceResult:
    plain, varied = flash_attn.flash_attn_func, flash_attn.flash_attn_varlen_func
    problem, evidence = judge(torch, plain, varied, flash_attn.flash_attn_with_kvcache, device)
    if not problem:
        evidence |= _measure(torch, plain, device)
    return problem, evidence


def judge(torch: Any, plain: Any, varied: Any, cached: Any, device: str) -> _devices.DeviceResult:
    cases = {
        **_forward_and_backward.cases(torch, plain, device),
        "varied lengths": (_flash_attn.varied_length_cases(torch, varied, device), 2.0),
        "KV cache": (_flash_attn.cached_cases(torch, cached, device), 2.0),
    }
    return _forward_and_backward.judge(torch, cases)


def _measure(torch: Any, function: Any, device: str) -> dict[str, Any]:
    shape = (_BATCH, _LENGTH, _HEADS, _WIDTH)
    call = functools.partial(
        function, *(torch.randn(shape, device=device, dtype=torch.float16) for _ in range(3))
    )
    timing = _timing.measure(torch, device, call, times=50, warm_up=20)
    of = {"way": "flash-attn", "tokens": str(_LENGTH), "pass": "forward"}
    return {
        "forward takes": {
            **timing.evidence(),
            "of": f"batch {_BATCH}, sequence {_LENGTH}, "
            f"{_HEADS} heads of {_WIDTH}, float16, not causal",
        },
        "figures": [timing.milliseconds("attention time", of)],
    }


CHECK = Check(
    title="flash-attn fits",
    proves="flash-attn links with this torch and computes attention and its gradients on every GPU",
    step=60,
    deadline_s=600,
    needs=Needs(
        packages=("torch", _flash_attn.MODULE),
        profile="cuda",
        distributions=("flash-attn",),
        capability=_LEAST,
    ),
    body=body,
    every_gpu=True,
)
