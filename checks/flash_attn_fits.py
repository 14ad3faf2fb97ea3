"""Whether the flash-attn package fits this torch: it links, and on every GPU its numbers are those of attention."""

from __future__ import annotations

import importlib
import itertools
import statistics
from typing import Any

from . import _numbers
from ._contract import Check, Context, Needs, Verdict

# Queries, keys, heads of the queries, heads of the keys: odd lengths, and heads that are shared.
_SHAPES = ((113, 203, 4, 4), (129, 129, 6, 2))
# As the package's own tests allow: a gradient goes through more roundings than torch's does.
_ALLOWED = {"output": 2.0, "gradient of q": 3.0, "gradient of k": 3.0, "gradient of v": 3.0}
_BATCH, _LENGTH, _HEADS, _WIDTH = 2, 512, 12, 64
_WARM_UP, _TIMES = 20, 50


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    try:
        flash_attn: Any = importlib.import_module("flash_attn")
        importlib.import_module("flash_attn_2_cuda")
    except Exception as error:  # noqa: BLE001 - whatever it raises keeps vLLM from starting too
        summary = f"does not load: {type(error).__name__}: {error}"
        hint = "it was built for another torch; flash_attn.mode: none does without it"
        return Verdict(passed=False, summary=summary, hint=hint)
    versions = {"torch": str(torch.__version__), "flash_attn": str(flash_attn.__version__)}
    said = f"flash-attn {versions['flash_attn']} loads beside torch {versions['torch']}"
    if not context.gpus:
        return Verdict(passed=True, summary=f"{said}; no GPU is used here, so only linked", evidence=versions)
    return _on_gpus(torch, flash_attn.flash_attn_func, context, {"versions": versions})


def _on_gpus(torch: Any, function: Any, context: Context, evidence: dict[str, Any]) -> Verdict:
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen < len(context.gpus):
        return Verdict(passed=False, summary=f"torch sees {seen} GPUs of {len(context.gpus)}", evidence=evidence)
    evidence["gpus"] = found = []
    for number in range(seen):
        name, device = torch.cuda.get_device_name(number), f"cuda:{number}"
        torch.cuda.set_device(number)
        wrong, worst = compare(torch, function, device)
        if wrong:
            return Verdict(passed=False, summary=f"GPU {number} ({name}): {wrong}", evidence=evidence)
        found.append(
            {"gpu": number, "name": name, "error_of_allowed": worst, "forward": _timed(torch, function, device)}
        )
    slowest = max(each["forward"]["median_us"] for each in found)
    tried = len(list(_cases(torch)))
    summary = (
        f"right in {tried} cases, forward and backward, on {seen} GPU{'s' * (seen > 1)}; a forward takes {slowest} us"
    )
    return Verdict(passed=True, summary=summary, evidence=evidence)


def _cases(torch: Any) -> Any:
    return itertools.product((torch.float16, torch.bfloat16), (64, 128), (False, True), _SHAPES)


def compare(torch: Any, function: Any, device: str) -> tuple[str, float]:
    """What is wrong, if anything, and how much of what is allowed the worst error takes."""
    torch.manual_seed(0)
    worst = 0.0
    for dtype, width, causal, lengths in _cases(torch):
        queries, keys, heads, shared = lengths
        shapes = ((queries, heads), (keys, shared), (keys, shared), (queries, heads))
        *given, upstream = (torch.randn(2, rows, each, width, device=device, dtype=dtype) for rows, each in shapes)
        try:
            share = _worst_share(torch, function, given, upstream, causal=causal)
        except Exception as problem:  # noqa: BLE001 - what the kernels say is the finding
            mask = "causal" if causal else "full"
            case = f"{str(dtype).removeprefix('torch.')}, head dimension {width}, {mask}, {queries} x {keys}"
            said = "" if isinstance(problem, ArithmeticError) else f"{type(problem).__name__}: "
            return f"{case}: {said}{problem}", worst
        worst = max(worst, share)
    return "", worst


def _worst_share(torch: Any, function: Any, given: list[Any], upstream: Any, *, causal: bool) -> float:
    def of_the_book(precision: Any) -> list[Any]:
        inputs = [each.to(precision) for each in given]
        return _with_gradients(
            torch, lambda *each: _numbers.attention(torch, *each, causal=causal), inputs, upstream.to(precision)
        )

    answers = (
        _with_gradients(torch, lambda *each: function(*each, causal=causal), given, upstream),
        of_the_book(upstream.dtype),
        of_the_book(torch.float64),
    )
    shares = []
    for (what, times), found, same, exact in zip(_ALLOWED.items(), *answers, strict=True):
        error, allowed = _numbers.off(torch, found, same, exact, times)
        if not error <= allowed:
            raise ArithmeticError(f"the {what} is off by {error:.3g}, and {allowed:.3g} is allowed")
        shares.append(round(error / allowed, 3))
    return max(shares)


def _with_gradients(torch: Any, function: Any, given: list[Any], upstream: Any) -> list[Any]:
    inputs = [each.detach().clone().requires_grad_() for each in given]
    output = function(*inputs)
    return [output.detach(), *torch.autograd.grad(output, inputs, upstream)]


def _timed(torch: Any, function: Any, device: str) -> dict[str, Any]:
    inputs = [torch.randn(_BATCH, _LENGTH, _HEADS, _WIDTH, device=device, dtype=torch.float16) for _ in range(3)]
    for _ in range(_WARM_UP):
        function(*inputs)
    times = []
    for _ in range(_TIMES):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function(*inputs)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1000)
    tenths = statistics.quantiles(times, n=10)
    return {
        "median_us": round(statistics.median(times), 1),
        "tenth_to_ninetieth_percentile_us": [round(tenths[0], 1), round(tenths[-1], 1)],
        "of": f"batch {_BATCH}, sequence {_LENGTH}, {_HEADS} heads of {_WIDTH}, float16, not causal",
        "method": f"CUDA events around each call, {_WARM_UP} calls to warm up, median of {_TIMES}; launch included",
    }


CHECK = Check(
    name="flash_attn_fits",
    title="flash-attn fits",
    proves="the flash-attn package links with this torch and, on every GPU, computes attention and its gradients",
    step=60,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(packages=("torch", "flash_attn"), profile="cuda", distributions=("flash-attn",)),
    body=body,
)
