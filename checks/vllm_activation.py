"""Checks vLLM's gated activations against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_SHAPES = ((83, 4096), (1, 11008))


def body(context: Context) -> Verdict:
    return _devices.try_on_each(
        context, partial(judge, gated=gated), "vLLM's activations are right"
    )


def gated(name: str, tensor: Any) -> Any:
    # NaN, so that a value that is not written shows.
    output = tensor.new_full((tensor.shape[0], tensor.shape[1] // 2), float("nan"))
    _vllm_operators.call(name, output, tensor)
    return output


@_numbers.judged
def judge(torch: Any, device: str, gated: Callable[[str, Any], Any]) -> Iterator[_numbers.Case]:
    functions = torch.nn.functional
    activations = {
        "silu_and_mul": functions.silu,
        "gelu_and_mul": functions.gelu,
        "gelu_tanh_and_mul": partial(functions.gelu, approximate="tanh"),
    }
    for dtype in _devices.half_precisions(torch, device):
        for name, activation in activations.items():
            for rows, width in _SHAPES:
                torch.manual_seed(0)
                tensor = torch.randn(rows, 2 * width, device=device).to(dtype)
                gate, up = tensor.chunk(2, 1)
                activated = activation(gate.float())
                rounded = activated.to(dtype) * up  # rounded twice, as the kernel may
                yield (
                    f"{name}, {_numbers.dtype_name(dtype)} {rows} x {width}",
                    partial(gated, name, tensor),
                    _numbers.accepted_roundings(torch, rounded, activated * up.float()),
                    activation(gate.double()) * up.double(),
                )


CHECK = Check(
    title="vLLM's activations",
    proves="vLLM's silu_and_mul, gelu_and_mul and gelu_tanh_and_mul compute what their names say",
    step=50,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
