"""Whether vLLM's gated activations are right, against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_SHAPES = ((83, 4096), (1, 11008))


def body(context: Context) -> Verdict:
    return _devices.on_each(context, partial(judge, gated=gated), "vLLM's activations are right")


def gated(name: str, given: Any) -> Any:
    found = given.new_full((given.shape[0], given.shape[1] // 2), float("nan"))
    _vllm_operators.call(name, found, given)
    return found


def judge(torch: Any, device: str, gated: Callable[[str, Any], Any]) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, gated))


def _cases(torch: Any, device: str, gated: Callable[[str, Any], Any]) -> Iterator[_numbers.Case]:
    known = torch.nn.functional
    activations = {
        "silu_and_mul": known.silu,
        "gelu_and_mul": known.gelu,
        "gelu_tanh_and_mul": partial(known.gelu, approximate="tanh"),
    }
    for dtype in _devices.halves(torch, device):
        for name, activation in activations.items():
            for rows, width in _SHAPES:
                torch.manual_seed(0)
                given = torch.randn(rows, 2 * width, device=device).to(dtype)
                gate, up = given.chunk(2, 1)
                activated = activation(gate.float())
                rounded = activated.to(dtype) * up  # twice
                same = _numbers.books(torch, rounded, activated * up.float())
                exact = activation(gate.double()) * up.double()
                yield f"{name}, {_numbers.plain(dtype)} {rows} x {width}", partial(gated, name, given), same, exact


CHECK = Check(
    name="vllm_activation",
    title="vLLM's activations",
    proves="vLLM's silu_and_mul, gelu_and_mul and gelu_tanh_and_mul compute on every device what their names say",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
