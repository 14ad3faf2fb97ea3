"""`check --python EXE` and `check --serving URL`: checks of environments built by other tools."""

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
from provision.host._model import Fact
from provision.report._model import Report
from provision.session import inputs, outputs, request, run_report

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SILENT = ("0",)  # stands for a GPU that is present and does not answer
_GPU_ID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


def run_checks(options: argparse.Namespace) -> Report:
    if options.serving is not None and not options.serving.startswith(("http://", "https://")):
        raise WrongUsage(
            f"`{options.serving}` is not the address of a server",
            hint="write --serving http://localhost:8000",
        )
    session = request.new_session(options)
    python = promised_checks.inspect_interpreter(
        sys.executable if options.python is None else options.python
    )
    present = gpus_here()
    used: tuple[str, ...] = ()
    if python.profile == "cuda":
        # A GPU that does not answer must fail the checks; without it they would be skipped.
        silent = not present and has_gpus()
        used = _SILENT if silent else visible(_ids(present), os.environ.get(_VISIBLE))
    names = tuple(options.names) or (
        promised_checks.choose_expected(
            python, options.profile or "quick", used, tuple({gpu.cc for gpu in present if gpu.cc})
        )
        if options.serving is None
        else promised_checks.server_checks()
    )
    facts = promised_checks.record_facts(names, inputs.paths(session.settings))
    logs, url = Path(session.logs), options.serving or ""
    with progress.listening(options) as followed:
        results = promised_checks.check_interpreter(python, names, logs, followed, used, facts, url)
    report = run_report.of_checks(session, results, names, used, facts, python)
    outputs.in_logs(report, session)
    return report


def gpus_here() -> tuple[gpus.Gpu, ...]:
    return record.host_with((gpus.FACT,)).known(gpus.FACT) or ()


def has_gpus() -> bool:
    """Return whether this host has an NVIDIA GPU, even one that does not answer."""
    signs: tuple[Fact[Any], ...] = (pci_gpus.FACT, gpus.FACT, driver.FACT)
    host = record.host_with(signs)
    return any(host.known(sign) for sign in signs)


def _ids(present: Iterable[gpus.Gpu]) -> tuple[str, ...]:
    """Return the ids of GPUs, and of MIG slices instead of a sliced GPU, as plans have them."""
    return tuple(item.id for gpu in present for item in (gpu.slices if gpu.mig else (gpu,)))


def visible(present: Sequence[str], variable: str | None) -> tuple[str, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES allows; raise WrongUsage for unknown ones."""
    if variable is None:
        return tuple(present)
    names = [_slice_of(word.strip(), present) for word in variable.split(",") if word.strip()]
    if wrong := [name for name in names if name not in present and not _GPU_ID.fullmatch(name)]:
        hint = f"this host has: {', '.join(present)}" if present else "no GPU answers on this host"
        if any(id_.startswith(f"{wrong[0]}:") for id_ in present):
            hint = f"this GPU has MIG slices: name one as `nvidia-smi -L` does, MIG-…; {hint}"
        raise WrongUsage(
            f"`{wrong[0]}` is not a GPU of this host", where=f"{_VISIBLE}={variable}", hint=hint
        )
    return tuple(names)


def _slice_of(word: str, present: Sequence[str]) -> str:
    """Return the GPU or slice that CUDA takes for a word.

    For the number of a sliced first GPU, CUDA takes its first slice. No other slice has a number.
    """
    return present[0] if present and present[0].startswith(f"{word}:") else word
