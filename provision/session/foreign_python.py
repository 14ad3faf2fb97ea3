"""`check --python EXE` and `check --serving URL`: what others have set up, and what runs already."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from provision.display import progress
from provision.engine import promised_checks
from provision.errors import WrongUsage
from provision.host import driver, gpus, pci_gpus, record
from provision.host._model import Fact, Host
from provision.report._model import Report
from provision.session import inputs, outputs, request, run_report

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SILENT = ("0",)  # a GPU that is there and does not answer
_NAMED = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


def checked(options: argparse.Namespace) -> Report:
    wish = request.made(options)
    python = promised_checks.interpreter(sys.executable if options.python is None else options.python)
    here = gpus_here()
    used: tuple[str, ...] = ()
    if python.profile == "cuda":
        silent = not here and has_gpus()
        used = _SILENT if silent else visible(_ids(here), os.environ.get(_VISIBLE))
    capabilities = tuple({gpu.cc for gpu in here if gpu.cc})
    if options.serving is not None:
        usual = promised_checks.of_servers()
    else:
        usual = promised_checks.expected(python, options.profile or "quick", used, capabilities)
    asked = tuple(options.names) or usual
    facts = promised_checks.facts_for(asked, inputs.paths(wish.settings))
    with progress.followed(options) as followed:
        tried = promised_checks.theirs(python, asked, Path(wish.logs), followed, used, facts, options.serving or "")
    told = run_report.of_checks(wish, tried, asked, used, facts, python)
    outputs.in_logs(told, wish)
    return told


def gpus_here() -> tuple[gpus.Gpu, ...]:
    return Host(record.record(network=False, paths={}, sources={}, facts=(gpus.FACT,)).readings).known(gpus.FACT) or ()


def has_gpus() -> bool:
    """Whether there is any sign of a GPU of NVIDIA: one that does not answer must fail, not be passed over."""
    signs: tuple[Fact[Any], ...] = (pci_gpus.FACT, gpus.FACT, driver.FACT)
    here = Host(record.record(network=False, paths={}, sources={}, facts=signs).readings)
    return any(here.known(sign) for sign in signs)


def _ids(here: Iterable[gpus.Gpu]) -> tuple[str, ...]:
    """The ids of GPUs and slices, as plans have them."""
    return tuple(one for gpu in here for one in ([part.id for part in gpu.slices] if gpu.mig else [gpu.id]))


def visible(here: Sequence[str], said: str | None) -> tuple[str, ...]:
    """What of it CUDA_VISIBLE_DEVICES leaves; WrongUsage where it names what CUDA would not find."""
    if said is None:
        return tuple(here)
    named = [_slice_of(word.strip(), here) for word in said.split(",") if word.strip()]
    wrong = [word for word in named if word not in here and not _NAMED.fullmatch(word)]
    if wrong:
        there = f"there are: {', '.join(here)}" if here else "no GPU answers here"
        if any(one.startswith(f"{wrong[0]}:") for one in here):
            there = f"it is cut into slices: name one as nvidia-smi -L does, MIG-…; {there}"
        raise WrongUsage(f"`{wrong[0]}` is no GPU of this host", where=f"{_VISIBLE}={said}", hint=there)
    return tuple(named)


def _slice_of(word: str, here: Sequence[str]) -> str:
    """Of a first GPU that is cut into slices CUDA takes the first one; no number names any other slice to it."""
    return here[0] if here and here[0].startswith(f"{word}:") else word
