"""Whether the package flash-attn 4 fits this torch: it loads, and on its GPUs its numbers are those of attention."""

from __future__ import annotations

from functools import partial

from . import _flash_attn_packages
from ._contract import Check, Needs

_PACKAGE = _flash_attn_packages.FOUR

CHECK = Check(
    name="flash_attn_4_fits",
    title="flash-attn 4 fits",
    proves="flash-attn 4 loads beside this torch and computes attention and its gradients on every GPU that it is for",
    step=60,
    weight="should",  # vLLM brings its own
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(
        packages=("torch", _PACKAGE.told_by),
        profile="cuda",
        distributions=("flash-attn-4",),
        capability=_PACKAGE.least,
    ),
    body=partial(_flash_attn_packages.fits, _PACKAGE),
    every_gpu=True,
)
