"""Whether torch's own attention is right: by each of its backends, and by the one that it takes itself."""

from __future__ import annotations

import functools
import importlib
import itertools
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers
from ._contract import Check, Context, Needs, Verdict

# Queries, keys, heads of the queries, heads of the keys, causal.
_SHAPES = (
    (113, 203, 4, 4, False),
    (129, 129, 4, 4, True),
    (129, 129, 6, 2, True),
    (113, 203, 4, 4, True),
)
_WIDTHS = (64, 128, 256)
_OWN, _MATH, _FLASH = "its own choice", "math", "flash"
_BACKENDS = {_OWN: "", _MATH: "MATH", _FLASH: "FLASH_ATTENTION"}
_CUDNN = "cuDNN"
_OF_GPUS = {_CUDNN: "CUDNN_ATTENTION", "memory-efficient": "EFFICIENT_ATTENTION"}
# How torch, and cuDNN under it, say that a backend does not do a case.
_REFUSALS = ("No available kernel", "No viable backend", "No valid execution plans", "No execution plans support")
# Where cuDNN alone may answer, all that it says before it computes is a refusal, and none is a wrong number.
_OF_CUDNN = ("No valid engine configs", "No execution plans built", "cuDNN Frontend error", "[cudnn_frontend]")
_WHY = 300


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return _devices.on_each(context, lambda _, device: judge(torch, sdpa, device), "torch's attention is right")


def judge(torch: Any, sdpa: Callable[..., Any], device: str) -> _devices.Found:
    torch.set_warn_always(True)  # a reason that was said once is wanted again
    found: dict[str, Any] = {"method": _METHOD}
    for name, backend in (_BACKENDS | ({} if device == "cpu" else _OF_GPUS)).items():
        refused: dict[str, list[str]] = {}
        words = (*_REFUSALS, *(_OF_CUDNN if name == _CUDNN else ()))
        cases = [
            (case, forced, same, exact)
            for case, call, same, exact in _cases(torch, device)
            if not _refuses(forced := partial(_forced, backend, partial(call, sdpa)), case, refused, words)
        ]
        problem, told = _numbers.judged(torch, cases) if cases else ("", {"cases": 0})
        found[name] = told | ({"refused": refused} if refused else {})
        if problem:
            return f"{name}: {problem}", found
        if refused and (wanted := _must_take(torch, name, device, refused)):
            return f"{name} refuses {wanted}: {next(iter(refused))}", found
    return "", found


def _must_take(torch: Any, name: str, device: str, refused: dict[str, list[str]]) -> str:
    """The first refused case that this one has to take. Flash does without a causal mask that is not square."""
    cases = itertools.chain.from_iterable(refused.values())
    if name in {_OWN, _MATH}:
        return next(cases)
    if name == _FLASH and (device == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)):
        return next((case for case in cases if not case.endswith("causal 113 x 203")), "")
    return ""


@functools.lru_cache(maxsize=1)
def _cases(torch: Any, device: str) -> list[tuple[str, Callable[..., Any], Any, Any]]:
    """As `_numbers.Case`, but the call still wants the function; the same for every backend."""
    return list(_made(torch, device))


def _made(torch: Any, device: str) -> Iterator[tuple[str, Callable[..., Any], Any, Any]]:
    for dtype, width, shape in itertools.product(_devices.halves(torch, device), _WIDTHS, _SHAPES):
        queries, keys, heads, shared, causal = shape
        torch.manual_seed(0)
        lengths = ((queries, heads), (keys, shared), (keys, shared))
        given = [torch.randn(2, length, of, width, device=device).to(dtype) for length, of in lengths]
        # Here the first query sees the first key alone, so that the keys behind the last query are never seen.
        seen = [given[0], *(each[:, :queries] if causal else each for each in given[1:])]
        same = _numbers.fused(torch, *seen, causal=causal)
        exact = _numbers.attention(torch, *(each.double() for each in seen), causal=causal)
        grouped = f", {heads} heads on {shared}" if heads != shared else ""
        name = f"{_numbers.plain(dtype)}, head dimension {width}{grouped}, {'causal' if causal else 'full'} "
        turned = [each.transpose(1, 2) for each in given]
        call = partial(_call, turned, is_causal=causal, enable_gqa=heads != shared)
        yield name + f"{queries} x {keys}", call, same.transpose(1, 2), exact.transpose(1, 2)


def _call(given: list[Any], sdpa: Callable[..., Any], **settings: bool) -> Any:
    return sdpa(*given, **settings)


def _forced(backend: str, call: Callable[[], Any]) -> Any:
    if not backend:
        return call()
    attention: Any = importlib.import_module("torch.nn.attention")
    with attention.sdpa_kernel([getattr(attention.SDPBackend, backend)]):
        return call()


def _refuses(call: Callable[[], Any], case: str, refused: dict[str, list[str]], words: tuple[str, ...]) -> bool:
    """Notes who said no to what, and why; any other failure is for the judge."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            call()
        except RuntimeError as no:
            if not any(each in str(no) for each in words):
                return False
            reasons = [str(each.message).partition(" (Triggered")[0] for each in said]
            told = [reason for reason in reasons if not reason.endswith(("because:", "disabled."))]
            refused.setdefault("; ".join(told or [str(no)])[:_WHY], []).append(case)
            return True
        except Exception:  # noqa: BLE001 - comes again before the judge
            return False
    return False


_METHOD = (
    "each backend forced; against 64 bits: twice the error of attention in 32 bits whose weights and result are "
    "rounded once, for the largest error and for the mean square of every tile of 16 x 16"
)

CHECK = Check(
    name="sdpa",
    title="torch's attention",
    proves="every backend of torch's scaled_dot_product_attention computes what it takes right on every device",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
