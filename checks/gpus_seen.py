"""Checks that torch sees the GPUs to be used, in PCI order, each the recorded one."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from . import _host
from ._contract import Check, Context, Needs, Verdict, gpus_of_one_process

_VISIBLE, _ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
# A UUID names one card in the world, and a report must not.
_UUID = re.compile(r"\b(GPU|MIG)-[^,]+")
# The driver keeps a few percent of the memory; the next smaller model or slice has far less.
_MEMORY_TOLERANCE = 0.1
_DECORATION = re.compile(r"NVIDIA |Tesla | \(.*\)")
_HINT = "unset CUDA_VISIBLE_DEVICES; to use some of the GPUs only, set gpus in config.yaml"


def body(context: Context) -> Verdict:
    cuda: Any = importlib.import_module("torch").cuda
    try:
        observed = [
            describe(cuda.get_device_properties(number)) for number in range(cuda.device_count())
        ]
    except RuntimeError as error:  # the driver's words are the finding
        return Verdict(
            passed=False, summary=f"CUDA does not start: {str(error).strip().splitlines()[0]}"
        )
    return compare(observed, context.gpus, context.facts, os.environ)


def describe(properties: Any) -> dict[str, Any]:
    """Return what torch knows of one GPU; it knows the address since torch 2.8."""
    address: list[Any] = [
        getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")
    ]
    return {
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 2**30, 1),
        "bus_id": None if None in address else "{:04x}:{:02x}:{:02x}.0".format(*address),
    }


def compare(
    observed: list[dict[str, Any]],
    used: tuple[str, ...],
    facts: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Verdict:
    recorded = _host.optional_fact(facts, "gpus") or []
    gpus = gpus_of_one_process(used)
    visible, order = environment.get(_VISIBLE), environment.get(_ORDER)
    evidence = {"seen": observed, "used": list(used), _VISIBLE: _shown(visible), _ORDER: order}
    if len(observed) != len(gpus):
        unset = f"{_VISIBLE} is not set" if len(observed) > len(gpus) else ""
        why = explain(visible, len(recorded), len(observed)) or unset
        summary = (
            f"torch sees {len(observed) or 'no'} GPU{'s' * (len(observed) != 1)}, "
            f"and {len(gpus)} should be there{': ' if why else ''}{why}"
        )
        return Verdict(passed=False, summary=summary, evidence=evidence, hint=_HINT)
    if problems := _differences(observed, gpus, recorded):
        if order != "PCI_BUS_ID":
            problems.append(f"{_ORDER}=PCI_BUS_ID is not set")
        if visible:
            problems.append(explain(visible, len(recorded), len(observed)))
        return Verdict(passed=False, summary="; ".join(problems), evidence=evidence, hint=_HINT)
    names = " and ".join(sorted({gpu["name"] for gpu in observed}))
    return Verdict(
        passed=True,
        summary=f"torch sees {len(observed)} x {names}{_remark_on_the_shell(facts)}",
        evidence=evidence,
        gpus=gpus,
    )


def _differences(
    observed: list[dict[str, Any]], gpus: tuple[str, ...], recorded: list[dict[str, Any]]
) -> list[str]:
    by_id = {gpu["id"]: gpu for gpu in recorded}
    known = [(number, gpu) for number, gpu in enumerate(gpus) if gpu in by_id]
    texts = [_difference(number, observed[number], gpu, by_id) for number, gpu in known]
    addresses = [gpu["bus_id"] for gpu in observed]
    if not known and None not in addresses and addresses != sorted(addresses):
        listed = ", ".join(addresses)
        return [f"the GPUs come as {listed}, which is not the order of their PCI addresses"]
    return [text for text in texts if text]


def explain(value: str | None, count: int, visible: int) -> str:
    """Return what this CUDA_VISIBLE_DEVICES does to `count` GPUs, of which `visible` are left.

    CUDA reads it from the left, up to the first word that means nothing.
    """
    if value is None:
        return ""
    name, words = f"{_VISIBLE}={_shown(value)}", [word.strip() for word in value.split(",")]
    if not any(words):
        return f"{_VISIBLE} is empty, which hides every GPU"
    if words[0].startswith("MIG-"):
        return f"{name} names slices of MIG, of which a process sees one"
    if words[0].startswith("GPU-"):
        missing = ", of which CUDA reads up to the first that is not here"
        return f"{name} names {len(words)} by UUID{missing if visible < len(words) else ''}"
    read: list[int] = []
    for word in words:
        match = re.match(r"[+-]?\d+", word)
        if not match or int(match[0]) < 0:
            invalid = _shown(word) or "an empty word"
            return f"{name}: {invalid} is no GPU, and CUDA reads no further"
        number = int(match[0])
        if count and number >= count:
            return f"{name}: there is no GPU {number}, and CUDA reads no further"
        if number in read:
            return f"{name} names GPU {number} twice, and CUDA then shows none"
        read.append(number)
    return f"{name} shows {len(read)}" + (f" of {count}" if count else "")


def _difference(number: int, observed: dict[str, Any], gpu: str, by_id: dict[str, Any]) -> str:
    """Return how torch's GPU differs from the recorded one, or "" also for what is not recorded."""
    recorded = by_id[gpu]
    if observed["bus_id"] and recorded.get("bus_id") and observed["bus_id"] != recorded["bus_id"]:
        other = next(
            (name for name, row in by_id.items() if row.get("bus_id") == observed["bus_id"]), ""
        )
        identity = (
            f"which is GPU {other} of this host" if other else "which the recording does not have"
        )
        return (
            f"torch's GPU {number} is at {observed['bus_id']}, {identity}; "
            f"GPU {gpu} is at {recorded['bus_id']}"
        )
    if recorded.get("integrated"):  # it has the host's memory, and the board's name
        return ""
    if _DECORATION.sub("", observed["name"]) != _DECORATION.sub("", recorded["name"]):
        return f"torch calls GPU {gpu} {observed['name']}, the driver {recorded['name']}"
    memory = recorded.get("memory_gb")
    if memory and abs(observed["memory_gb"] - memory) > _MEMORY_TOLERANCE * memory:
        return f"torch sees {observed['memory_gb']} GB in GPU {gpu}, the driver {memory} GB"
    return ""


def _remark_on_the_shell(facts: Mapping[str, Any]) -> str:
    """Return what the user's own variable does; the launcher sets another for this process."""
    value = (_host.optional_fact(facts, "environment") or {}).get(_VISIBLE)
    text = explain(value, len(_host.optional_fact(facts, "gpus") or []), 0)
    return f"; for programs started from this shell: {text}" if text else ""


def _shown(value: str | None) -> str | None:
    return _UUID.sub(r"\1-…", value)[:80] if value is not None else None


CHECK = Check(
    title="GPUs as planned",
    proves="torch sees the GPUs to be used, in PCI order, with the recorded names and memory",
    step=40,
    deadline_s=120,
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
