"""The packages flash-attn 2, 3 and 4: their modules, their GPUs, and the check that one fits."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import _devices, _flash_attn, _forward_and_backward
from ._contract import Check, Context, Needs, Verdict, is_importable
from ._forward_and_backward import Variants

_WITHOUT = "flash_attn.mode: none goes without it; vLLM brings an attention of its own"


@dataclass(frozen=True)
class FlashAttnPackage:
    """A package for GPUs from the `least` to the `most` compute capability.

    `marker` is a module that no other package has.
    """

    name: str
    module: str
    marker: str
    least: tuple[int, int]
    most: tuple[int, int]
    tried: Variants = _forward_and_backward.ALL

    def is_installed(self) -> bool:
        return is_importable(self.marker)

    def attention(self, *tensors: Any, causal: bool) -> Any:
        answer = importlib.import_module(self.module).flash_attn_func(*tensors, causal=causal)
        # Some releases of 3 and 4 also return the logarithms of the sums.
        return answer[0] if isinstance(answer, tuple) else answer


# flash-attn 4 alone creates a `flash_attn` that is only the folder around it. It compiles each
# variant on its first call, so few are tried; it has gradients on Hopper and on the Blackwell of
# data centres. flash-attn 3 has code for Hopper only.
TWO = FlashAttnPackage("flash-attn", "flash_attn", _flash_attn.MODULE, (8, 0), (99, 0))
THREE = FlashAttnPackage(
    "flash-attn 3", "flash_attn_interface", "flash_attn_interface", (9, 0), (9, 9)
)
FOUR = FlashAttnPackage(
    "flash-attn 4",
    "flash_attn.cute",
    "flash_attn.cute",
    (9, 0),
    (11, 9),
    Variants(("bfloat16",), (128,)),
)


def check(package: FlashAttnPackage) -> Check:
    """Return the check that a package loads and is right; it differs by name and GPUs only."""
    return Check(
        title=f"{package.name} fits",
        proves=f"{package.name} loads beside this torch; "
        "attention and its gradients are right on its GPUs",
        step=60,
        weight="should",  # vLLM brings an attention of its own
        deadline_s=600,
        needs=Needs(
            packages=("torch", package.marker),
            profile="cuda",
            distributions=(package.name.replace(" ", "-"),),
            capability=package.least,
            most_capability=package.most,
        ),
        body=partial(_fits, package),
        every_gpu=True,
    )


def _fits(package: FlashAttnPackage, context: Context) -> Verdict:
    try:
        importlib.import_module(package.module)
    except Exception as error:  # noqa: BLE001 - any exception is the finding
        return Verdict(
            passed=False, summary=f"does not load: {type(error).__name__}: {error}", hint=_WITHOUT
        )
    if not context.gpus:
        return Verdict(
            passed=True,
            summary=f"{package.name} loads; nothing was computed, since no GPU is used here",
        )
    holds, body = f"{package.name} is right forward and backward", partial(judge, package)
    verdict = _devices.try_on_each(context, body, holds, least=package.least, most=package.most)
    return verdict if verdict.passed else replace(verdict, hint=_WITHOUT)


def judge(package: FlashAttnPackage, torch: Any, device: str) -> _devices.DeviceResult:
    return _forward_and_backward.judge(
        torch, _forward_and_backward.cases(torch, package.attention, device, package.tried)
    )
