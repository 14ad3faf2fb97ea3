"""Whether matrices are multiplied right: every precision that vLLM's layers are computed in, against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers
from ._contract import Check, Context, Needs, Verdict

# Rows, what is summed over, columns: as layers have it, odd, long sums that are split, and one token alone.
_ORDINARY, _ODD = (512, 1024, 1024), (257, 1031, 515)
_SHAPES = (_ORDINARY, _ODD, (64, 8192, 64), (1, 4096, 1000))
# A half is rounded once, whatever the order of the sum; a sum of 32 bits depends on it.
_OF_HALVES, _OF_FLOATS = 1.3, 2.0


def body(context: Context) -> Verdict:
    return _devices.on_each(
        context, lambda torch, device: judge(torch, torch.matmul, device), "products are right in every precision"
    )


def judge(torch: Any, multiply: Callable[[Any, Any], Any], device: str) -> _devices.Found:
    settle(torch)
    halves = (case for dtype in _devices.halves(torch, device) for case in _halves(torch, multiply, device, dtype))
    problem, found = _numbers.judged(torch, halves, _OF_HALVES)
    if problem:
        return problem, found
    problem, floats = _numbers.judged(torch, _floats(torch, multiply, device), _OF_FLOATS)
    return problem, {"halves": found, "float32": floats, "method": _METHOD}


def settle(torch: Any) -> None:
    """As exact as the device can: a sum that is split may else be rounded twice, and TF32 drops 13 bits."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def _halves(torch: Any, multiply: Callable[[Any, Any], Any], device: str, dtype: Any) -> Iterator[_numbers.Case]:
    for shape in _SHAPES:
        left, right = _given(torch, device, dtype, shape)
        same = (left.float() @ right.float()).to(dtype)
        yield _name(dtype, shape), partial(multiply, left, right), same, left.double() @ right.double()


def _floats(torch: Any, multiply: Callable[[Any, Any], Any], device: str) -> Iterator[_numbers.Case]:
    left, right = _given(torch, device, torch.float32, _ODD)
    same = torch.zeros(left.shape[0], right.shape[1], device=device)
    for number in range(left.shape[1]):
        same += left[:, number : number + 1] * right[number]
    yield _name(torch.float32, _ODD), partial(multiply, left, right), same, left.double() @ right.double()


def _given(torch: Any, device: str, dtype: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """The right one as a layer keeps its weights, turned."""
    torch.manual_seed(0)
    rows, summed, columns = shape
    left, weights = (torch.randn(length, summed, device=device).to(dtype) for length in (rows, columns))
    return left, weights.T


def _name(dtype: Any, shape: tuple[int, int, int]) -> str:
    return f"{_numbers.plain(dtype)} {' x '.join(map(str, shape))}"


_METHOD = (
    "normal random numbers; the largest error, and the mean square of every tile of 16 x 16, against 64 bits: "
    "1.3 times the error of 32 bits rounded once for halves, twice that of a sum in order for float32"
)

CHECK = Check(
    name="matmul",
    title="Matrix products",
    proves="torch multiplies matrices of half and single precision on every device as exactly as these allow",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
