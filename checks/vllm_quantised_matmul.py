"""Whether vLLM's products of quantised matrices are right: fp8 on a GPU that has it, else int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_LEAST = (7, 5)  # from there on GPUs multiply int8
_ROWS, _SUMMED, _COLUMNS = (83, 1), 1024, 512
# GPUs keep 13 or 14 bits of a sum of fp8, and cut it off there every 32 products. Computed so, 1024 products are off by
# up to 5.7 times the rounding of float16 and 1.4 times that of bfloat16, and 256 by up to 2.1 times that of float16: so
# float16 has short sums, and 1 % in a tile is still 15 times what is allowed.
_SUMMED_FROM_FP8_TO_FLOAT16 = 256
_OF_FP8, _OF_INT8 = 3.0, 1.3
_LARGEST = {"float8_e4m3fn": 448.0, "int8": 127.0}

# Rows to quantised rows and a scale for each; and the product of these with quantised weights and theirs.
Quantise = Callable[[Any], tuple[Any, Any]]
Multiply = Callable[[Any, Any, Any, Any, Any], Any]


def body(context: Context) -> Verdict:
    verdict = _devices.on_each(context, _on_device, "vLLM's quantised products are right", least=_LEAST)
    if context.profile == "cpu" and not verdict.passed and not _has_vnni():
        return replace(verdict, hint=_SATURATES)
    return verdict


_SATURATES = (
    "this CPU has no VNNI: oneDNN adds products of int8 in 16 bits then, where large ones saturate; "
    "here serve models that are not quantised to int8"
)


def _has_vnni() -> bool:
    """Whatever it is called: avx512_vnni or avx_vnni. Elsewhere than on x86 it is another story, and no hint."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "vnni" in flags or "avx2" not in flags


def _on_device(torch: Any, device: str) -> _devices.Found:
    if device == "cpu":
        return judge(torch, device, torch.int8, _int8_by_onednn, _by_onednn)
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < (8, 9):
        return judge(torch, device, torch.int8, _int8, _by_cutlass)
    try:
        if not _vllm_operators.call("cutlass_scaled_mm_supports_fp8", major * 10 + minor):
            return f"this build of vLLM has no fp8 product for compute capability {major}.{minor}", {}
    except (ImportError, AttributeError) as problem:
        return f"vLLM's fp8 product is not where it was: {type(problem).__name__}: {problem}", {}
    return judge(torch, device, torch.float8_e4m3fn, _fp8, _by_cutlass)


def judge(torch: Any, device: str, narrow: Any, quantise: Quantise, multiply: Multiply) -> _devices.Found:
    problem, rows = _numbers.judged(torch, _rows(torch, device, narrow, quantise))
    if problem:
        return problem, rows
    times = _OF_INT8 if narrow == torch.int8 else _OF_FP8
    problem, products = _numbers.judged(torch, _products(torch, device, narrow, multiply), times)
    return problem, {"precision": _numbers.plain(narrow), "quantised": rows, "products": products}


def _rows(torch: Any, device: str, narrow: Any, quantise: Quantise) -> Iterator[_numbers.Case]:
    for dtype, shape, rows, _ in _given(torch, device, narrow):
        kept, scales = _by_the_book(torch, rows, narrow)
        name = f"{_numbers.plain(dtype)} {shape[0]} x {shape[1]} to {_numbers.plain(narrow)}"
        yield name, partial(_restored, quantise, rows), kept.float() * scales, rows.double()


def _products(torch: Any, device: str, narrow: Any, multiply: Multiply) -> Iterator[_numbers.Case]:
    for dtype, shape, rows, weights in _given(torch, device, narrow):
        (left, by_row), (right, by_column) = (_by_the_book(torch, each, narrow) for each in (rows, weights))
        exact = (left.double() @ right.double().T) * by_row.double() * by_column.double().T
        name = f"{_numbers.plain(narrow)} to {_numbers.plain(dtype)} {' x '.join(map(str, shape))}"
        call = partial(multiply, left, by_row, right.T, by_column.T, dtype)
        yield name, call, ((left.float() @ right.float().T) * by_row * by_column.T).to(dtype), exact


def _given(torch: Any, device: str, narrow: Any) -> Iterator[tuple[Any, tuple[int, int, int], Any, Any]]:
    for dtype in _devices.halves(torch, device):
        short = narrow != torch.int8 and dtype == torch.float16
        summed = _SUMMED_FROM_FP8_TO_FLOAT16 if short else _SUMMED
        for height in _ROWS:
            torch.manual_seed(0)
            lengths = (height, _COLUMNS)
            given = (torch.randn(each, summed, device=device).to(dtype) for each in lengths)
            yield dtype, (height, summed, _COLUMNS), *given


def _by_the_book(torch: Any, rows: Any, narrow: Any) -> tuple[Any, Any]:
    scales = rows.float().abs().amax(1, keepdim=True) / _LARGEST[_numbers.plain(narrow)]
    scaled = rows.float() / scales
    return (scaled.round() if narrow == torch.int8 else scaled).to(narrow), scales


def _restored(quantise: Quantise, rows: Any) -> Any:
    kept, scales = quantise(rows)
    return kept.float() * scales


def _fp8(rows: Any) -> tuple[Any, Any]:
    kept, scales = _vllm_operators.call("scaled_fp8_quant", rows, use_per_token_if_dynamic=True)
    return kept, scales


def _by_cutlass(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
    return _vllm_operators.call("cutlass_scaled_mm", left, right, by_row, by_column, dtype)


def _int8(rows: Any) -> tuple[Any, Any]:
    kept, scales, _ = _vllm_operators.call("scaled_int8_quant", rows)
    return kept, scales


def _int8_by_onednn(rows: Any) -> tuple[Any, Any]:
    kept, scales, _ = _vllm_operators.call("onednn_scaled_int8_quant", rows)
    return kept, scales


def _by_onednn(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
    # Scales that come with the rows, and no zero point.
    handler = _vllm_operators.call("create_onednn_scaled_mm", right, by_column, dtype, True, False)
    found = by_row.new_full((left.shape[0], right.shape[1]), float("nan"), dtype=dtype)
    return _vllm_operators.call("onednn_scaled_mm", handler, left, found, by_row, None, None, None)


CHECK = Check(
    name="vllm_quantised_matmul",
    title="vLLM's quantised products",
    proves="vLLM quantises rows and multiplies quantised matrices right: fp8 on GPUs that have it, else int8",
    step=50,
    weight="should",  # these functions are vLLM's own affair, and have changed from release to release
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm"), gpus=1, capability=_LEAST),
    body=body,
    every_gpu=True,
)
