"""Whether a CUDA graph does again, with what is new in its inputs, what was captured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers
from ._contract import Check, Context, Needs, Verdict

_TOKENS, _WIDTH, _REPLAYS = 83, 1024, 3
_WARM_UP = 3

# From a function and its input to what is called for each replay and gives the output.
Capture = Callable[[Callable[[Any], Any], Any], Callable[[], Any]]


def body(context: Context) -> Verdict:
    return _devices.on_each(context, partial(judge, capture=capture), "a CUDA graph replays right")


def capture(function: Callable[[Any], Any], given: Any) -> Callable[[], Any]:
    """As torch tells one to: warmed up on a stream of its own, then captured."""
    cuda: Any = importlib.import_module("torch").cuda
    beside = cuda.Stream()
    beside.wait_stream(cuda.current_stream())
    with cuda.stream(beside):
        for _ in range(_WARM_UP):
            function(given)
    cuda.current_stream().wait_stream(beside)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        found = function(given)

    def replay() -> Any:
        graph.replay()
        return found.clone()

    return replay


def judge(torch: Any, device: str, capture: Capture) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, capture))


def _cases(torch: Any, device: str, capture: Capture) -> Iterator[_numbers.Case]:
    """A layer of two products, as a decoding step has many."""
    torch.manual_seed(0)
    weights = [(torch.randn(_WIDTH, _WIDTH, device=device) * _WIDTH**-0.5).half() for _ in range(2)]

    def layer(given: Any) -> Any:
        one, other = (each.to(given.dtype) for each in weights)
        return torch.nn.functional.silu(given @ one) @ other + given

    given = torch.randn(_TOKENS, _WIDTH, device=device).half()
    replays: list[Callable[[], Any]] = []
    for number in range(_REPLAYS):
        new = torch.randn(_TOKENS, _WIDTH, device=device).half()
        same, exact = layer(new), layer(new.double())
        yield f"replay {number + 1}", partial(_replayed, capture, layer, given, new, replays), same, exact


def _replayed(
    capture: Capture, layer: Callable[[Any], Any], given: Any, new: Any, replays: list[Callable[[], Any]]
) -> Any:
    if not replays:
        replays.append(capture(layer, given))
    given.copy_(new)
    return replays[0]()


CHECK = Check(
    name="cuda_graphs",
    title="CUDA graphs",
    proves="on every GPU a captured CUDA graph computes anew with what is new in its inputs",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=120,
    needs=Needs(packages=("torch",), gpus=1, profile="cuda"),
    body=body,
    every_gpu=True,
)
