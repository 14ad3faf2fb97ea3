"""Checks matrix products in every precision that vLLM's layers use, against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers
from ._contract import Check, Context, Needs, Verdict

# Rows, length of the sums, columns: as layers have it, odd lengths, long sums that kernels split,
# and a single token.
_ORDINARY, _ODD = (512, 1024, 1024), (257, 1031, 515)
_SHAPES = (_ORDINARY, _ODD, (64, 8192, 64), (1, 4096, 1000))
# A half is rounded once, in whatever order the sum is made. A sum in 32 bits depends on the order.
_HALF_TOLERANCE, _FLOAT_TOLERANCE = 1.3, 2.0
_METHOD = (
    "normal random numbers; the largest error, and the mean square of every tile of 16 x 16, "
    "against 64 bits: 1.3 times the error of 32 bits rounded once for halves, twice that of a sum "
    "in order for float32"
)

Multiply = Callable[[Any, Any], Any]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(
        context,
        lambda torch, device: judge(torch, torch.matmul, device),
        "products are right in every precision",
    )


def judge(torch: Any, multiply: Multiply, device: str) -> _devices.DeviceResult:
    set_precision(torch)
    halves = (
        case
        for dtype in _devices.half_precisions(torch, device)
        for case in _half_cases(torch, multiply, device, dtype)
    )
    problem, evidence = _numbers.judge_cases(torch, halves, _HALF_TOLERANCE)
    if problem:
        return problem, evidence
    problem, of_floats = _numbers.judge_cases(
        torch, _float_cases(torch, multiply, device), _FLOAT_TOLERANCE
    )
    return problem, {"halves": evidence, "float32": of_floats, "method": _METHOD}


def set_precision(torch: Any) -> None:
    # Otherwise a sum that is split may be rounded twice, and TF32 drops 13 bits.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def _half_cases(torch: Any, multiply: Multiply, device: str, dtype: Any) -> Iterator[_numbers.Case]:
    for shape in _SHAPES:
        left, right = _matrices(torch, device, dtype, shape)
        yield (
            _name(dtype, shape),
            partial(multiply, left, right),
            (left.float() @ right.float()).to(dtype),
            left.double() @ right.double(),
        )


def _float_cases(torch: Any, multiply: Multiply, device: str) -> Iterator[_numbers.Case]:
    left, right = _matrices(torch, device, torch.float32, _ODD)
    reference = torch.zeros(left.shape[0], right.shape[1], device=device)
    for number in range(left.shape[1]):
        reference += left[:, number : number + 1] * right[number]
    exact = left.double() @ right.double()
    yield _name(torch.float32, _ODD), partial(multiply, left, right), reference, exact


def _matrices(torch: Any, device: str, dtype: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return both matrices; the right one is transposed, as a layer keeps its weights."""
    torch.manual_seed(0)
    rows, summed, columns = shape
    left, weights = (
        torch.randn(length, summed, device=device).to(dtype) for length in (rows, columns)
    )
    return left, weights.T


def _name(dtype: Any, shape: tuple[int, int, int]) -> str:
    return f"{_numbers.dtype_name(dtype)} {' x '.join(map(str, shape))}"


CHECK = Check(
    title="Matrix products",
    proves="torch multiplies matrices of half and single precision as exactly as these allow",
    step=40,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
