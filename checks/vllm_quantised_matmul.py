"""Checks vLLM's products of quantised matrices: fp8 on a GPU that has it, else int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_LEAST = (7, 5)  # the first GPUs that multiply int8
_ROWS, _SUMMED, _COLUMNS = (83, 1), 1024, 512
# GPUs keep 13 or 14 bits of a sum of fp8, and truncate it every 32 products. Computed so, 1024
# products are off by up to 5.7 times the rounding of float16 and 1.4 times that of bfloat16, and
# 256 by up to 2.1 times that of float16. So float16 has short sums, and 1 % in a tile is still 15
# times the allowed error. Sums of int8 are exact in 32 bits, so only one rounding is allowed.
_SUMMED_FROM_FP8_TO_FLOAT16 = 256
_FP8_TOLERANCE, _INT8_TOLERANCE = 3.0, 1.3
_LARGEST = {"float8_e4m3fn": 448.0, "int8": 127.0}

SATURATES = (
    "this CPU has no VNNI: oneDNN then adds products of int8 in 16 bits, where large ones "
    "saturate; serve models here that are not quantised to int8"
)

# Turns rows into quantised rows and a scale for each.
Quantise = Callable[[Any], tuple[Any, Any]]
# Multiplies quantised rows and weights, each with their scales, into a precision.
Multiply = Callable[[Any, Any, Any, Any, Any], Any]


def body(context: Context) -> Verdict:
    verdict = _devices.try_on_each(
        context, _try, "vLLM's quantised products are right", least=_LEAST
    )
    if context.profile == "cpu" and not verdict.passed and not _has_vnni():
        return replace(verdict, hint=SATURATES)
    return verdict


def _has_vnni() -> bool:
    """Return False only for an x86 CPU without VNNI, which is called avx512_vnni or avx_vnni."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "vnni" in flags or "avx2" not in flags


def _try(torch: Any, device: str) -> _devices.DeviceResult:
    if device == "cpu":
        return judge(torch, device, torch.int8, quantise_by_onednn, _onednn)
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < (8, 9):
        return judge(torch, device, torch.int8, _int8, _cutlass)
    try:
        if not _vllm_operators.call("cutlass_scaled_mm_supports_fp8", major * 10 + minor):
            return (
                f"this build of vLLM has no fp8 product for compute capability {major}.{minor}",
                {},
            )
    except (ImportError, AttributeError) as error:
        return f"vLLM's fp8 product is not at its usual place: {type(error).__name__}: {error}", {}
    return judge(torch, device, torch.float8_e4m3fn, _fp8, _cutlass)


def judge(
    torch: Any, device: str, narrow: Any, quantise: Quantise, multiply: Multiply
) -> _devices.DeviceResult:
    problem, rows = _numbers.judge_cases(torch, _row_cases(torch, device, narrow, quantise))
    if problem:
        return problem, rows
    problem, products = _numbers.judge_cases(
        torch,
        _product_cases(torch, device, narrow, multiply),
        _INT8_TOLERANCE if narrow == torch.int8 else _FP8_TOLERANCE,
    )
    return problem, {
        "precision": _numbers.dtype_name(narrow),
        "quantised": rows,
        "products": products,
    }


def _row_cases(torch: Any, device: str, narrow: Any, quantise: Quantise) -> Iterator[_numbers.Case]:
    target = _numbers.dtype_name(narrow)
    for dtype, shape, rows, _ in _inputs(torch, device, narrow):
        quantised, scales = quantise_by_hand(torch, rows, narrow)
        yield (
            f"{_numbers.dtype_name(dtype)} {shape[0]} x {shape[1]} to {target}",
            partial(_restore, quantise, rows),
            quantised.float() * scales,
            rows.double(),
        )


def _product_cases(
    torch: Any, device: str, narrow: Any, multiply: Multiply
) -> Iterator[_numbers.Case]:
    for dtype, shape, rows, weights in _inputs(torch, device, narrow):
        left, by_row = quantise_by_hand(torch, rows, narrow)
        right, by_column = quantise_by_hand(torch, weights, narrow)
        exact = (left.double() @ right.double().T) * by_row.double() * by_column.double().T
        reference = ((left.float() @ right.float().T) * by_row * by_column.T).to(dtype)
        size = " x ".join(map(str, shape))
        yield (
            f"{_numbers.dtype_name(narrow)} to {_numbers.dtype_name(dtype)} {size}",
            partial(multiply, left, by_row, right.T, by_column.T, dtype),
            reference,
            exact,
        )


def _inputs(
    torch: Any, device: str, narrow: Any
) -> Iterator[tuple[Any, tuple[int, int, int], Any, Any]]:
    """Yield precision, shape, rows and weights."""
    for dtype in _devices.half_precisions(torch, device):
        short = narrow != torch.int8 and dtype == torch.float16
        summed = _SUMMED_FROM_FP8_TO_FLOAT16 if short else _SUMMED
        for height in _ROWS:
            torch.manual_seed(0)
            rows, weights = (
                torch.randn(length, summed, device=device).to(dtype)
                for length in (height, _COLUMNS)
            )
            yield dtype, (height, summed, _COLUMNS), rows, weights


def quantise_by_hand(torch: Any, rows: Any, narrow: Any) -> tuple[Any, Any]:
    """Return rows scaled to the largest number of a narrow precision, and the scales."""
    scales = rows.float().abs().amax(1, keepdim=True) / _LARGEST[_numbers.dtype_name(narrow)]
    scaled = rows.float() / scales
    return (scaled.round() if narrow == torch.int8 else scaled).to(narrow), scales


def _restore(quantise: Quantise, rows: Any) -> Any:
    quantised, scales = quantise(rows)
    return quantised.float() * scales


def _fp8(rows: Any) -> tuple[Any, Any]:
    quantised, scales = _vllm_operators.call(
        "scaled_fp8_quant", rows, use_per_token_if_dynamic=True
    )
    return quantised, scales


def _cutlass(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
    return _vllm_operators.call("cutlass_scaled_mm", left, right, by_row, by_column, dtype)


def _int8(rows: Any) -> tuple[Any, Any]:
    quantised, scales, _ = _vllm_operators.call("scaled_int8_quant", rows)
    return quantised, scales


def quantise_by_onednn(rows: Any) -> tuple[Any, Any]:
    quantised, scales, _ = _vllm_operators.call("onednn_scaled_int8_quant", rows)
    return quantised, scales


def _onednn(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
    # The scales come with the rows, and there is no zero point.
    handler = _vllm_operators.call("create_onednn_scaled_mm", right, by_column, dtype, True, False)
    output = by_row.new_full((left.shape[0], right.shape[1]), float("nan"), dtype=dtype)
    return _vllm_operators.call("onednn_scaled_mm", handler, left, output, by_row, None, None, None)


CHECK = Check(
    title="vLLM's quantised products",
    proves="vLLM quantises rows and multiplies them right: fp8 on GPUs that have it, else int8",
    step=50,
    weight="should",  # these functions are internal to vLLM and change from release to release
    needs=Needs(packages=("torch", "vllm"), gpus=1, capability=_LEAST),
    body=body,
    every_gpu=True,
)
