"""Measures each attention that is installed beside the matrix products of the same run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _flash_attn_packages, _numbers, _timing, _vllm_operators
from ._contract import Check, Context, Figure, Needs, Verdict

# As in published comparisons: the same number of tokens for each length, causal, heads of 128.
_TOKENS, _TOTAL_WIDTH, _WIDTH = 16384, 2048, 128
_GPU_LENGTHS, _CPU_LENGTHS = (512, 2048, 8192, 16384), (512,)
_CPU_TOKENS = 1024
_PRODUCT, _BUDGET_S = 8192, 0.1
_EAGER, _FLASH, _CUDNN = "eager", "SDPA flash", "SDPA cuDNN"
_SDPA = {
    _FLASH: "FLASH_ATTENTION",
    _CUDNN: "CUDNN_ATTENTION",
    "SDPA memory-efficient": "EFFICIENT_ATTENTION",
}
_BACKWARD = 2.5  # backward has five products, forward has two
# Judged from this length on, where the time to launch no longer counts. Published on H100, as a
# part of the best product: FlashAttention 2 .38 and more, eager .05 and less; so half of the one,
# and twice the other. cuDNN is 1.7 to 2.3 times as fast as torch's flash there; on other GPUs it
# need not be faster.
_JUDGED_FROM, _OF_PRODUCT, _OF_EAGER, _CUDNN_OF_FLASH = 2048, 0.2, 2.0, 1.2

_CONDITIONS = (
    f"tokens in all, {_TOTAL_WIDTH // _WIDTH} heads of {_WIDTH}, causal, 4 x batch x length^2 x "
    "heads x width operations forward, half of them for the mask, 2.5 times those backward"
)

# TFLOP/s by length and implementation; "none" says why there is no number.
Speeds = dict[int, dict[str, Any]]


def body(context: Context) -> Verdict:
    verdict = _devices.try_on_each(
        context, _measure, "attention is as fast as usual", at_once=False
    )
    if context.profile == "cpu" and verdict.passed:
        return replace(verdict, summary="attention measured on CPU; shown, not judged")
    return verdict


def _measure(torch: Any, device: str) -> _devices.DeviceResult:
    dtype = _devices.half_precisions(torch, device)[-1]
    product, figures = _measure_product(torch, device, dtype)
    forward, backward = Speeds(), Speeds()
    for length in _CPU_LENGTHS if device == "cpu" else _GPU_LENGTHS:
        forward[length], backward[length] = {}, {}
        for name, function, has_backward in _implementations(torch, device):
            of = {"way": name, "tokens": str(length)}
            run = partial(_speed, torch, device, dtype, length, function)
            forward[length][name], rows = run({**of, "pass": "forward"}, backward=False)
            figures += rows
            if has_backward:
                backward[length][name], rows = run({**of, "pass": "backward"}, backward=True)
                figures += rows
    evidence: dict[str, Any] = {
        "product_tflops": _timing.five_digits(product),
        "forward": forward,
        "backward": backward,
        "of": f"{_CPU_TOKENS if device == 'cpu' else _TOKENS} {_CONDITIONS}",
        "figures": figures,
    }
    if device == "cpu":
        return "", evidence
    return judge(product, forward, torch.cuda.get_device_capability(device)), evidence


def _measure_product(torch: Any, device: str, dtype: Any) -> tuple[float, list[Figure]]:
    size = 1024 if device == "cpu" else _PRODUCT
    square = torch.randn(size, size, device=device).to(dtype)
    timing = _timing.measure(
        torch, device, partial(torch.matmul, square, square), times=50, budget_s=5 * _BUDGET_S
    )
    of = {"size": str(size), "precision": _numbers.dtype_name(dtype)}
    return 2e-6 * size**3 / timing.median_us, [timing.rate("product", 2 * size**3, "TFLOP/s", of)]


def judge(product: float, forward: Speeds, capability: tuple[int, int]) -> str:
    """Return the first unusual speed, or ""."""
    for length, results in forward.items():
        if length < _JUDGED_FROM or capability < (8, 0):
            continue
        speeds = {name: row["tflops"] for name, row in results.items() if "tflops" in row}
        fused = {name: speed for name, speed in speeds.items() if name != _EAGER}
        if not fused:
            return f"at {length} tokens no attention but the eager one runs"
        best = max(fused, key=lambda name: fused[name])
        text = f"at {length} tokens the best attention, {best}, does {fused[best]:.3g} TFLOP/s"
        if fused[best] < _OF_PRODUCT * product:
            return f"{text}, less than {_OF_PRODUCT:g} of the {product:.3g} of a product"
        if fused[best] < _OF_EAGER * speeds.get(_EAGER, 0):
            return f"{text}, less than twice the {speeds[_EAGER]:.3g} of the eager one"
        flash = fused.get(_FLASH, 0)
        if capability[0] == 9 and fused.get(_CUDNN, product) < _CUDNN_OF_FLASH * flash:
            speed = f"cuDNN does {fused[_CUDNN]:.3g} TFLOP/s"
            return f"at {length} tokens {speed}, and torch's flash {flash:.3g}"
    return ""


def _implementations(torch: Any, device: str) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Yield name, function of (batch, length, heads, width), and whether it has a backward pass."""
    yield _EAGER, partial(_numbers.attention, torch, causal=True), True
    for name, backend in _SDPA.items():
        if device != "cpu" or name == _FLASH:
            yield name, partial(_sdpa, torch, backend), True
    if device == "cpu":
        return
    packages = _flash_attn_packages
    for package in (packages.TWO, packages.THREE, packages.FOUR):
        fits = package.least <= torch.cuda.get_device_capability(device) <= package.most
        if fits and package.is_installed():
            yield package.name, partial(package.attention, causal=True), True
    if importlib.util.find_spec("vllm"):
        yield "vLLM's FlashAttention", _VllmAttention(torch), False


def _sdpa(torch: Any, backend: str, *inputs: Any) -> Any:
    attention: Any = importlib.import_module("torch.nn.attention")
    function = torch.nn.functional.scaled_dot_product_attention
    with attention.sdpa_kernel([getattr(attention.SDPBackend, backend)]):
        heads_first = (tensor.transpose(1, 2) for tensor in inputs)
        return function(*heads_first, is_causal=True).transpose(1, 2)


class _VllmAttention:
    """vLLM's FlashAttention, whose sequences lie one behind the other."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._starts: dict[tuple[int, int], Any] = {}

    def __call__(self, *inputs: Any) -> Any:
        flash: Any = importlib.import_module("vllm.vllm_flash_attn")
        device = inputs[0].device
        batch, length = inputs[0].shape[:2]
        # Made in the warm-up, so that no timed call copies the starts to the GPU.
        if (batch, length) not in self._starts:
            starts = self._torch.arange(
                0, (batch + 1) * length, length, dtype=self._torch.int32, device=device
            )
            self._starts[batch, length] = starts
        starts = self._starts[batch, length]
        return flash.flash_attn_varlen_func(
            *(tensor.flatten(0, 1) for tensor in inputs),
            max_seqlen_q=length,
            cu_seqlens_q=starts,
            max_seqlen_k=length,
            cu_seqlens_k=starts,
            causal=True,
            fa_version=_vllm_operators.flash_version(self._torch, device, flash),
        )


def _speed(
    torch: Any,
    device: str,
    dtype: Any,
    length: int,
    function: Callable[..., Any],
    of: dict[str, str],
    *,
    backward: bool,
) -> tuple[dict[str, Any], list[Figure]]:
    """Return the speed of one implementation, or why it has none: out of memory is an answer."""
    batch = (_CPU_TOKENS if device == "cpu" else _TOKENS) // length
    shape = (batch, length, _TOTAL_WIDTH // _WIDTH, _WIDTH)
    try:
        inputs = [
            torch.randn(shape, device=device).to(dtype).requires_grad_(backward) for _ in range(3)
        ]
        call = partial(function, *inputs)
        if backward:
            output = call()
            call = partial(
                torch.autograd.grad, output, inputs, torch.ones_like(output), retain_graph=True
            )
        peak_mb = _peak_mb(torch, device, call)
        timing = _timing.measure(torch, device, call, times=50, budget_s=_BUDGET_S)
    except Exception as error:  # noqa: BLE001 - a missing kernel, or too little memory
        name, text = type(error).__name__, " ".join(str(error).split())[:100]
        return {"none": f"{name}: {text}"}, [Figure("attention", name, of=of)]
    operations = _operations(batch, length, backward=backward)
    tflops = _timing.five_digits(1e-6 * operations / timing.median_us)
    evidence: dict[str, Any] = {"tflops": tflops, **timing.evidence()}
    figures = [
        timing.rate("attention", operations, "TFLOP/s", of),
        timing.milliseconds("attention time", of),
    ]
    if peak_mb is not None:
        evidence["peak_mb"] = peak_mb
        figures.append(
            _timing.figure(
                "attention memory",
                [peak_mb],
                "MB",
                better="lower",
                of=of,
                method="torch.cuda.max_memory_allocated after one call before any is timed, "
                "inputs included",
            )
        )
    return evidence, figures


def _operations(batch: int, length: int, *, backward: bool) -> float:
    # A multiplication and an addition count as two, and the causal mask leaves half of the scores.
    return 4 * batch * length**2 * _TOTAL_WIDTH / 2 * (_BACKWARD if backward else 1)


def _peak_mb(torch: Any, device: str, call: Callable[[], Any]) -> int | None:
    if device == "cpu":
        return None
    # In a call of its own: the buffer that clears the cache between timed calls is larger than
    # the memory of most attentions.
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return int(torch.cuda.max_memory_allocated(device) // 2**20)


CHECK = Check(
    title="Speed of attention",
    proves="beside the products of the same run, attention is about as fast as usual on every GPU",
    step=40,
    weight="should",
    profile="full",
    deadline_s=600,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
