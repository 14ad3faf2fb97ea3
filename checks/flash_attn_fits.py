"""Whether the flash-attn package fits this torch: it links, and on every GPU its numbers are those of attention."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _flash_attn, _numbers, _timing
from ._contract import Check, Context, Needs, Verdict

# Queries, keys, heads of the queries, heads of the keys: odd lengths, and heads that are shared.
_SHAPES = ((113, 203, 4, 4), (129, 129, 6, 2))
# As the package's own tests allow: a gradient goes through more roundings than torch's does.
_OF_GRADIENTS = 3.0
_LEAST = (8, 0)  # flash-attn 2 has code for nothing older
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
        "forward": (_forward(torch, plain, device), 2.0),
        "backward": (_backward(torch, plain, device), _OF_GRADIENTS),
        "varied lengths": (_flash_attn.varied(torch, varied, device), 2.0),
        "KV cache": (_flash_attn.cached(torch, cached, device), 2.0),
    }
    found = {}
    for name, (cases, times) in tried.items():
        problem, found[name] = _numbers.judged(torch, cases, times)
        if problem:
            return problem, found
    return "", found


def _given(torch: Any, device: str) -> Iterator[tuple[str, list[Any], Any, bool]]:
    """Name, inputs, what comes from above for the gradients, and whether it is causal."""
    precisions = (torch.float16, torch.bfloat16)
    for dtype, width, causal, lengths in itertools.product(precisions, (64, 128), (False, True), _SHAPES):
        torch.manual_seed(0)
        queries, keys, heads, shared = lengths
        shapes = ((queries, heads), (keys, shared), (keys, shared), (queries, heads))
        *given, upstream = (torch.randn(2, rows, each, width, device=device, dtype=dtype) for rows, each in shapes)
        name = f"{_numbers.plain(dtype)}, head dimension {width}, {'causal' if causal else 'full'}, {queries} x {keys}"
        yield name, given, upstream, causal


def _forward(torch: Any, function: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    for name, given, _, causal in _given(torch, device):
        exact = _numbers.attention(torch, *(each.double() for each in given), causal=causal)
        same = _numbers.fused(torch, *given, causal=causal)
        yield f"{name}, output", partial(function, *given, causal=causal), same, exact


def _backward(torch: Any, function: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    for name, given, upstream, causal in _given(torch, device):
        book = partial(_numbers.attention, torch, causal=causal)
        same, exact = (
            _gradients(torch, book, [each.to(of) for each in given], upstream.to(of))
            for of in (upstream.dtype, torch.float64)
        )
        tried = functools.cache(partial(_gradients, torch, partial(function, causal=causal), given, upstream))
        for number, letter in enumerate("qkv"):
            yield f"{name}, gradient of {letter}", partial(_pick, tried, number), same[number], exact[number]


def _pick(tried: Callable[[], list[Any]], number: int) -> Any:
    return tried()[number]


def _gradients(torch: Any, function: Callable[..., Any], given: list[Any], upstream: Any) -> list[Any]:
    inputs = [each.detach().clone().requires_grad_() for each in given]
    return list(torch.autograd.grad(function(*inputs), inputs, upstream))


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
