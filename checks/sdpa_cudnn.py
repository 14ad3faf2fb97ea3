"""Checks torch's attention by cuDNN, which vLLM switches off and other code takes by itself."""

from __future__ import annotations

from typing import Any

from . import _devices
from ._contract import Check, Context, Needs, Verdict
from .sdpa import CUDNN, OWN, judge

# First alone: after an illegal access of cuDNN nothing in this process computes any more.
_BACKENDS = {CUDNN: "CUDNN_ATTENTION", OWN: ""}


def body(context: Context) -> Verdict:
    return _devices.try_on_each(context, _with_cudnn, "torch's attention with cuDNN is right")


def _with_cudnn(torch: Any, device: str) -> _devices.DeviceResult:
    return judge(torch, torch.nn.functional.scaled_dot_product_attention, device, _BACKENDS)


CHECK = Check(
    title="torch's attention by cuDNN",
    proves="torch's scaled_dot_product_attention is right by cuDNN, and where torch may take cuDNN",
    step=40,
    weight="should",  # vLLM goes without it; cuDNN before 9.15.1 was wrong on Hopper and Blackwell
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
