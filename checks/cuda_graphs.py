"""Checks that a replayed CUDA graph computes with the current contents of its inputs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers
from ._contract import Check, Context, Needs, Verdict

_TOKENS, _WIDTH, _REPLAYS = 83, 1024, 3
_WARM_UP = 3

# Turns a function and its input into a call that replays it and returns the output.
Capture = Callable[[Callable[[Any], Any], Any], Callable[[], Any]]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(
        context, partial(judge, capture=capture), "a CUDA graph replays right"
    )


def capture(function: Callable[[Any], Any], tensor: Any) -> Callable[[], Any]:
    """Capture a function as torch's manual says: after a warm-up on a stream of its own."""
    cuda: Any = importlib.import_module("torch").cuda
    stream = cuda.Stream()
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):
        for _ in range(_WARM_UP):
            function(tensor)
    cuda.current_stream().wait_stream(stream)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        output = function(tensor)

    def replay() -> Any:
        graph.replay()
        return output.clone()

    return replay


@_numbers.judged
def judge(torch: Any, device: str, capture: Capture) -> Iterator[_numbers.Case]:
    """Yield replays of a layer of two products, of which a decoding step has many."""
    torch.manual_seed(0)
    weights = [(torch.randn(_WIDTH, _WIDTH, device=device) * _WIDTH**-0.5).half() for _ in range(2)]

    def layer(tensor: Any) -> Any:
        up, down = (weight.to(tensor.dtype) for weight in weights)
        return torch.nn.functional.silu(tensor @ up) @ down + tensor

    tensor = torch.randn(_TOKENS, _WIDTH, device=device).half()
    captured: list[Callable[[], Any]] = []

    def replay(new: Any) -> Any:
        if not captured:
            captured.append(capture(layer, tensor))
        tensor.copy_(new)
        return captured[0]()

    for number in range(_REPLAYS):
        new = torch.randn(_TOKENS, _WIDTH, device=device).half()
        yield f"replay {number + 1}", partial(replay, new), layer(new), layer(new.double())


CHECK = Check(
    title="CUDA graphs",
    proves="on every GPU a captured CUDA graph computes with the current contents of its inputs",
    step=40,
    deadline_s=120,
    needs=Needs(packages=("torch",), gpus=1, profile="cuda"),
    body=body,
    every_gpu=True,
)
