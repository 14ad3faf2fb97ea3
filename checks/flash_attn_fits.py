"""Whether the flash-attn package fits this torch: it links, and on every GPU its numbers are those of attention."""

from __future__ import annotations

import functools
import importlib
from functools import partial
from typing import Any

from . import _devices, _flash_attn, _flash_attn_packages, _forward_and_backward, _timing
from ._contract import Check, Context, Needs, Verdict

_LEAST = _flash_attn_packages.TWO.least  # it has code for nothing older
_BATCH, _LENGTH, _HEADS, _WIDTH = 2, 512, 12, 64


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    try:
        flash_attn: Any = importlib.import_module("flash_attn")
        importlib.import_module(_flash_attn.MODULE)
    except Exception as error:  # noqa: BLE001 - whatever it raises keeps vLLM from starting too
        summary = f"does not load: {type(error).__name__}: {error}"
        hint = "it was built for another torch; flash_attn.mode: none does without it"
        return Verdict(passed=False, summary=summary, hint=hint)
    versions = {"torch": str(torch.__version__), "flash_attn": str(flash_attn.__version__)}
    said = f"flash-attn {versions['flash_attn']} loads beside torch {versions['torch']}"
    if not context.gpus:
        return Verdict(passed=True, summary=f"{said}; no GPU is used here, so only linked", evidence=versions)
    right = f"flash-attn {versions['flash_attn']} is right forward and backward, in varied lengths and with a KV cache"
    return _devices.on_each(context, partial(_on_gpu, flash_attn), right, least=_LEAST)


def _on_gpu(flash_attn: Any, torch: Any, device: str) -> _devices.Found:
    plain, varied = flash_attn.flash_attn_func, flash_attn.flash_attn_varlen_func
    problem, found = judge(torch, plain, varied, flash_attn.flash_attn_with_kvcache, device)
    if not problem:
        found |= _timed(torch, plain, device)
    return problem, found


def judge(torch: Any, plain: Any, varied: Any, cached: Any, device: str) -> _devices.Found:
    """Each of the package's three functions."""
    tried = {
        **_forward_and_backward.cases(torch, plain, device),
        "varied lengths": (_flash_attn.varied(torch, varied, device), 2.0),
        "KV cache": (_flash_attn.cached(torch, cached, device), 2.0),
    }
    return _forward_and_backward.judged(torch, tried)


def _timed(torch: Any, function: Any, device: str) -> dict[str, Any]:
    inputs = [torch.randn(_BATCH, _LENGTH, _HEADS, _WIDTH, device=device, dtype=torch.float16) for _ in range(3)]
    of = f"batch {_BATCH}, sequence {_LENGTH}, {_HEADS} heads of {_WIDTH}, float16, not causal"
    time = _timing.timed(torch, device, functools.partial(function, *inputs), times=50, warm_up=20)
    figure = time.milliseconds("attention time", {"way": "flash-attn", "tokens": str(_LENGTH), "pass": "forward"})
    return {"forward takes": {**time.evidence(), "of": of}, "figures": [figure]}


CHECK = Check(
    name="flash_attn_fits",
    title="flash-attn fits",
    proves="the flash-attn package links with this torch and computes attention and its gradients on every GPU",
    step=60,
    weight="must",
    on="environment",
    profile="quick",
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
