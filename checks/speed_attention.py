"""How fast each attention is that is here, beside the products of the same run, and whether the usual one wins."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _flash_attn_packages, _numbers, _timing, _vllm_operators
from ._contract import Check, Context, Figure, Needs, Verdict

# As published comparisons have it: as many tokens for each length, causal, heads of 128.
_TOKENS, _WIDE, _WIDTH = 16384, 2048, 128
_LENGTHS_OF_GPUS, _LENGTHS_OF_CPUS = (512, 2048, 8192, 16384), (512,)
_CPU_TOKENS = 1024
_PRODUCT, _BUDGET_S = 8192, 0.1
_EAGER, _FLASH, _CUDNN = "eager", "SDPA flash", "SDPA cuDNN"
_SDPA = {_FLASH: "FLASH_ATTENTION", _CUDNN: "CUDNN_ATTENTION", "SDPA memory-efficient": "EFFICIENT_ATTENTION"}
_BACKWARD = 2.5  # five products where forward has two
# Judged from here on, where launching no longer counts. Published on H100, as a part of the best product:
# FlashAttention 2 .38 and more, eager .05 and less; so half of the one, and twice the other. cuDNN is 1.7 to 2.3 times
# as fast as torch's flash there; on other GPUs it need not be faster.
_JUDGED_FROM, _OF_PRODUCT, _OF_EAGER, _CUDNN_OF_FLASH = 2048, 0.2, 2.0, 1.2

# TFLOP/s of every length of every way; a string says why there is none.
Speeds = dict[int, dict[str, Any]]


def body(context: Context) -> Verdict:
    verdict = _devices.on_each(context, _measured, "attention is as fast as usual", at_once=False)
    if context.profile == "cpu" and verdict.passed:
        return replace(verdict, summary="attention measured on CPU; shown, not judged")
    return verdict


def _measured(torch: Any, device: str) -> _devices.Found:
    dtype = _devices.halves(torch, device)[-1]
    size = 1024 if device == "cpu" else _PRODUCT
    square = torch.randn(size, size, device=device).to(dtype)
    time = _timing.timed(torch, device, partial(torch.matmul, square, square), times=50, budget_s=5 * _BUDGET_S)
    product = 2e-6 * size**3 / time.median_us
    figures = [time.rate("product", 2 * size**3, "TFLOP/s", {"size": str(size), "precision": _numbers.plain(dtype)})]
    del square
    forward: Speeds = {}
    backward: Speeds = {}
    for length in _LENGTHS_OF_CPUS if device == "cpu" else _LENGTHS_OF_GPUS:
        forward[length], backward[length] = {}, {}
        for name, way, learns in _ways(torch, device):
            of = {"way": name, "tokens": str(length)}
            tried = partial(_speed, torch, device, dtype, length, way)
            forward[length][name], measured = tried({**of, "pass": "forward"}, backward=False)
            figures += measured
            if learns:
                backward[length][name], measured = tried({**of, "pass": "backward"}, backward=True)
                figures += measured
    found = {
        "product_tflops": _timing.five_digits(product),
        "forward": forward,
        "backward": backward,
        "of": _of(device),
    }
    found["figures"] = figures
    if device == "cpu":
        return "", found
    return judge(product, forward, torch.cuda.get_device_capability(device)), found


def judge(product: float, forward: Speeds, capability: tuple[int, int]) -> str:
    """The first thing that is unusual, if any."""
    for length, ways in forward.items():
        speeds = {name: each["tflops"] for name, each in ways.items() if "tflops" in each}
        fused = {name: speed for name, speed in speeds.items() if name != _EAGER}
        if length < _JUDGED_FROM or capability < (8, 0):
            continue
        if not fused:
            return f"at {length} tokens no attention but the eager one runs"
        best = max(fused, key=lambda name: fused[name])
        said = f"at {length} tokens the best attention, {best}, does {fused[best]:.3g} TFLOP/s"
        if fused[best] < _OF_PRODUCT * product:
            return f"{said}, less than {_OF_PRODUCT:g} of the {product:.3g} of a product"
        if fused[best] < _OF_EAGER * speeds.get(_EAGER, 0):
            return f"{said}, less than twice the {speeds[_EAGER]:.3g} of the eager one"
        if capability[0] == 9 and fused.get(_CUDNN, product) < _CUDNN_OF_FLASH * fused.get(_FLASH, 0):
            return f"at {length} tokens cuDNN does {fused[_CUDNN]:.3g} TFLOP/s, and torch's flash {fused[_FLASH]:.3g}"
    return ""


def _ways(torch: Any, device: str) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Each takes batch, length, heads, width; and whether it has a backward."""
    yield _EAGER, partial(_numbers.attention, torch, causal=True), True
    for name, backend in _SDPA.items():
        if device != "cpu" or name == _FLASH:
            yield name, partial(_by_sdpa, torch, backend), True
    if device == "cpu":
        return
    for package in (_flash_attn_packages.TWO, _flash_attn_packages.THREE, _flash_attn_packages.FOUR):
        fits = package.least <= torch.cuda.get_device_capability(device) <= package.most
        if fits and package.is_here():
            yield package.name, partial(package.attention, causal=True), True
    if importlib.util.find_spec("vllm"):
        yield "vLLM's FlashAttention", _ByVllm(torch), False


def _by_sdpa(torch: Any, backend: str, *given: Any) -> Any:
    attention: Any = importlib.import_module("torch.nn.attention")
    with attention.sdpa_kernel([getattr(attention.SDPBackend, backend)]):
        turned = (each.transpose(1, 2) for each in given)
        return torch.nn.functional.scaled_dot_product_attention(*turned, is_causal=True).transpose(1, 2)


class _ByVllm:
    """Its sequences lie behind each other; where each begins is on the GPU before the first call that is timed."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._starts: dict[tuple[int, int], Any] = {}

    def __call__(self, *given: Any) -> Any:
        flash: Any = importlib.import_module("vllm.vllm_flash_attn")
        batch, length = given[0].shape[:2]
        if (batch, length) not in self._starts:
            ends = (batch + 1) * length
            starts = self._torch.arange(0, ends, length, dtype=self._torch.int32, device=given[0].device)
            self._starts[batch, length] = starts
        starts = self._starts[batch, length]
        return flash.flash_attn_varlen_func(
            *(each.flatten(0, 1) for each in given),
            max_seqlen_q=length,
            cu_seqlens_q=starts,
            max_seqlen_k=length,
            cu_seqlens_k=starts,
            causal=True,
            fa_version=_vllm_operators.flash_version(self._torch, given[0].device, flash),
        )


def _speed(
    torch: Any, device: str, dtype: Any, length: int, way: Callable[..., Any], of: dict[str, str], *, backward: bool
) -> tuple[dict[str, Any], list[Figure]]:
    """What one way does, or why it does not: out of memory is an answer too."""
    batch = (_CPU_TOKENS if device == "cpu" else _TOKENS) // length
    shape = (batch, length, _WIDE // _WIDTH, _WIDTH)
    try:
        given = [torch.randn(shape, device=device).to(dtype).requires_grad_(backward) for _ in range(3)]
        call = partial(way, *given)
        if backward:
            output = call()
            call = partial(torch.autograd.grad, output, given, torch.ones_like(output), retain_graph=True)
        peak_mb = _peak_mb(torch, device, call)
        time = _timing.timed(torch, device, call, times=50, budget_s=_BUDGET_S)
    except Exception as problem:  # noqa: BLE001 - a kernel that is not there, or too little memory
        none = type(problem).__name__
        return {"none": f"{none}: {' '.join(str(problem).split())[:100]}"}, [Figure("attention", none, of=of)]
    operations = _operations(batch, length, backward=backward)
    told: dict[str, Any] = {"tflops": _timing.five_digits(1e-6 * operations / time.median_us), **time.evidence()}
    figures = [time.rate("attention", operations, "TFLOP/s", of), time.milliseconds("attention time", of)]
    if peak_mb is not None:
        told["peak_mb"] = peak_mb
        how = "torch.cuda.max_memory_allocated after one call before any is timed, inputs included"
        figures.append(_timing.figure("attention memory", [peak_mb], "MB", better="lower", of=of, method=how))
    return told, figures


def _operations(batch: int, length: int, *, backward: bool) -> float:
    """A multiplication and an addition count as two, and the mask leaves half of the scores."""
    return 4 * batch * length**2 * _WIDE / 2 * (_BACKWARD if backward else 1)


def _peak_mb(torch: Any, device: str, call: Callable[[], Any]) -> int | None:
    """By itself: what is overwritten between the calls that are timed is larger than most attentions."""
    if device == "cpu":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return int(torch.cuda.max_memory_allocated(device) // 2**20)


def _of(device: str) -> str:
    tokens = _CPU_TOKENS if device == "cpu" else _TOKENS
    return (
        f"{tokens} tokens in all, {_WIDE // _WIDTH} heads of {_WIDTH}, causal, 4 x batch x length^2 x heads x width "
        "operations forward, half of them for the mask, 2.5 times those backward"
    )


CHECK = Check(
    name="speed_attention",
    title="Speed of attention",
    proves="beside the products of the same run, attention is about as fast as usual on every GPU",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=600,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
