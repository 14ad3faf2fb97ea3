"""Checks torch's own attention: its backends without cuDNN, and the one that it chooses itself."""

from __future__ import annotations

import functools
import importlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
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
OWN, CUDNN = "its own choice", "cuDNN"
_MATH, _FLASH = "math", "flash"
_BACKENDS = {OWN: "", _MATH: "MATH", _FLASH: "FLASH_ATTENTION"}
_GPU_BACKENDS = {"memory-efficient": "EFFICIENT_ATTENTION"}
# The words with which torch, and cuDNN below it, refuse a case that a backend does not support.
_REFUSALS = (
    "No available kernel",
    "No viable backend",
    "No valid execution plans",
    "No execution plans support",
)
# If cuDNN alone may answer, every error before it computes is a refusal, and no wrong number.
_CUDNN_REFUSALS = (
    "No valid engine configs",
    "No execution plans built",
    "cuDNN Frontend error",
    "[cudnn_frontend]",
)
_REASON_LENGTH = 300
_METHOD = (
    "each backend forced; against 64 bits: twice the error of attention in 32 bits whose weights "
    "and result are rounded once, for the largest error and for the mean square of every tile of "
    "16 x 16"
)

# Like `_numbers.Case`, but the call still takes the function.
_OpenCase = tuple[str, Callable[..., Any], Any, Any]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(context, _without_cudnn, "torch's attention is right")


def _without_cudnn(torch: Any, device: str) -> _devices.DeviceResult:
    backends = _BACKENDS
    if device != "cpu":
        # vLLM does the same. A wrong cuDNN is what sdpa_cudnn is about.
        torch.backends.cuda.enable_cudnn_sdp(False)
        backends = _BACKENDS | _GPU_BACKENDS
    return judge(torch, torch.nn.functional.scaled_dot_product_attention, device, backends)


def judge(
    torch: Any,
    sdpa: Callable[..., Any],
    device: str,
    backends: Mapping[str, str] = MappingProxyType(_BACKENDS),
) -> _devices.DeviceResult:
    torch.set_warn_always(True)  # by default torch gives each reason for a refusal only once
    evidence: dict[str, Any] = {"method": _METHOD}
    for name, backend in backends.items():
        refused: dict[str, list[str]] = {}
        words = (*_REFUSALS, *(_CUDNN_REFUSALS if name == CUDNN else ()))
        cases = []
        for case, call, reference, exact in _cases(torch, device):
            forced = partial(_force, backend, partial(call, sdpa))
            if not _is_refused(forced, case, refused, words):
                cases.append((case, forced, reference, exact))
        problem, result = _numbers.judge_cases(torch, cases) if cases else ("", {"cases": 0})
        evidence[name] = result | ({"refused": refused} if refused else {})
        if problem:
            return f"{name}: {problem}", evidence
        if refused and (case := _must_take(torch, name, device, refused)):
            return f"{name} refuses {case}: {next(iter(refused))}", evidence
    return "", evidence


def _must_take(torch: Any, name: str, device: str, refused: dict[str, list[str]]) -> str:
    """Return the first refused case that this backend has to take, or ""."""
    cases = itertools.chain.from_iterable(refused.values())
    if name in {OWN, _MATH}:
        return next(cases)
    # Flash supports no causal mask that is not square, and no GPU before 8.0.
    if name == _FLASH and (device == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)):
        return next((case for case in cases if not case.endswith("causal 113 x 203")), "")
    return ""


@functools.lru_cache(maxsize=1)
def _cases(torch: Any, device: str) -> list[_OpenCase]:
    """Return the cases, which are the same for every backend."""
    return list(_make_cases(torch, device))


def _make_cases(torch: Any, device: str) -> Iterator[_OpenCase]:
    for dtype, width, shape in itertools.product(
        _devices.half_precisions(torch, device), _WIDTHS, _SHAPES
    ):
        queries, keys, heads, shared, causal = shape
        torch.manual_seed(0)
        query, *cache = (
            torch.randn(2, length, count, width, device=device).to(dtype)
            for length, count in ((queries, heads), (keys, shared), (keys, shared))
        )
        # With torch's causal mask the first query sees the first key alone, so keys behind the
        # last query are never seen.
        visible = [query, *(tensor[:, :queries] if causal else tensor for tensor in cache)]
        reference = _numbers.fused_attention(torch, *visible, causal=causal)
        exact = _numbers.attention(torch, *(tensor.double() for tensor in visible), causal=causal)
        grouped = f", {heads} heads on {shared}" if heads != shared else ""
        inputs = [tensor.transpose(1, 2) for tensor in (query, *cache)]
        size = f"{'causal' if causal else 'full'} {queries} x {keys}"
        yield (
            f"{_numbers.dtype_name(dtype)}, head dimension {width}{grouped}, {size}",
            partial(_call, inputs, is_causal=causal, enable_gqa=heads != shared),
            reference.transpose(1, 2),
            exact.transpose(1, 2),
        )


def _call(inputs: list[Any], sdpa: Callable[..., Any], **settings: bool) -> Any:
    return sdpa(*inputs, **settings)


def _force(backend: str, call: Callable[[], Any]) -> Any:
    if not backend:
        return call()
    attention: Any = importlib.import_module("torch.nn.attention")
    with attention.sdpa_kernel([getattr(attention.SDPBackend, backend)]):
        return call()


def _is_refused(
    call: Callable[[], Any], case: str, refused: dict[str, list[str]], words: tuple[str, ...]
) -> bool:
    """Return whether a backend refuses a case, and add case and reason to `refused`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        # Any other exception is raised again when the case is judged.
        except Exception as error:  # noqa: BLE001
            if not isinstance(error, RuntimeError) or not any(word in str(error) for word in words):
                return False
            messages = [str(warning.message).partition(" (Triggered")[0] for warning in caught]
            # These two only introduce a reason, or name a backend that we switched off.
            reasons = [text for text in messages if not text.endswith(("because:", "disabled."))]
            refused.setdefault("; ".join(reasons or [str(error)])[:_REASON_LENGTH], []).append(case)
            return True
    return False


CHECK = Check(
    title="torch's attention",
    proves="every backend of torch's scaled_dot_product_attention but cuDNN is right",
    step=40,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
