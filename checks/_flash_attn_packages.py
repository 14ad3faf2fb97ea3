"""The packages of flash-attn: by what each is told, on which GPUs it computes, and whether 3 and 4 fit."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import _devices, _flash_attn, _forward_and_backward
from ._contract import Check, Context, Needs, Verdict, is_there
from ._forward_and_backward import Sort


@dataclass(frozen=True)
class Package:
    """`told_by`: a module that nothing else has. It is for GPUs from the `least` compute capability to the `most`."""

    name: str
    module: str
    told_by: str
    least: tuple[int, int]
    most: tuple[int, int]
    tried: Sort = _forward_and_backward.ALL

    def is_here(self) -> bool:
        return is_there(self.told_by)

    def attention(self, *given: Any, causal: bool) -> Any:
        """Some releases of 3 and 4 return the logarithms of the sums beside the answer."""
        found = importlib.import_module(self.module).flash_attn_func(*given, causal=causal)
        return found[0] if isinstance(found, tuple) else found


# Flavour 4 alone makes a `flash_attn` that is nothing but the folder around it. It compiles each sort when it is first
# called, so that few are tried; it has gradients on Hopper and the Blackwell of data centres. 3 has code for Hopper.
TWO = Package("flash-attn", "flash_attn", _flash_attn.MODULE, (8, 0), (99, 0))
THREE = Package("flash-attn 3", "flash_attn_interface", "flash_attn_interface", (9, 0), (9, 9))
FOUR = Package("flash-attn 4", "flash_attn.cute", "flash_attn.cute", (9, 0), (11, 9), Sort(("bfloat16",), (128,)))


def fits(package: Package, context: Context) -> Verdict:
    """Whether it loads, and computes attention and its gradients on the GPUs that it is for."""
    try:
        importlib.import_module(package.module)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        return Verdict(passed=False, summary=f"does not load: {type(error).__name__}: {error}", hint=_WITHOUT)
    if not context.gpus:
        return Verdict(passed=True, summary=f"{package.name} loads; no GPU is used here, so only that")
    right, tried = f"{package.name} is right forward and backward", partial(judge, package)
    verdict = _devices.on_each(context, tried, right, least=package.least, most=package.most)
    return verdict if verdict.passed else replace(verdict, hint=_WITHOUT)


_WITHOUT = "flash_attn.mode: none does without it; vLLM brings an attention of its own"


def judge(package: Package, torch: Any, device: str) -> _devices.Found:
    tried = _forward_and_backward.cases(torch, package.attention, device, package.tried)
    return _forward_and_backward.judged(torch, tried)


def check(package: Package) -> Check:
    """The claim that it fits: the same of each, but for its name and its GPUs."""
    distribution = package.name.replace(" ", "-")
    return Check(
        name=f"{distribution.replace('-', '_')}_fits",
        title=f"{package.name} fits",
        proves=f"{package.name} loads beside this torch; attention and its gradients are right on its GPUs",
        step=60,
        weight="should",  # vLLM brings its own
        on="environment",
        profile="quick",
        deadline_s=600,
        needs=Needs(
            packages=("torch", package.told_by),
            profile="cuda",
            distributions=(distribution,),
            capability=package.least,
        ),
        body=partial(fits, package),
        every_gpu=True,
    )
