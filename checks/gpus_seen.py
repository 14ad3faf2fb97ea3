"""Whether torch sees the GPUs that are to be used: as many, in PCI order, each the one that was recorded."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from ._contract import Check, Context, Needs, Verdict, tried_by_one

_VISIBLE, _ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_UUID = re.compile(r"\b(GPU|MIG)-[^,]+")  # it names one card in the world, which a report does not
_MEMORY = 0.1  # of a GPU's memory the driver keeps a few percent; the next smaller model or slice lacks far more
_PLAIN = re.compile(r"NVIDIA |Tesla | \(.*\)")


def body(context: Context) -> Verdict:
    cuda: Any = importlib.import_module("torch").cuda
    try:
        seen = [told(cuda.get_device_properties(number)) for number in range(cuda.device_count())]
    except RuntimeError as problem:  # what the driver says is the finding
        return Verdict(passed=False, summary=f"CUDA does not start: {str(problem).strip().splitlines()[0]}")
    return compare(seen, context.gpus, context.facts, os.environ)


def told(properties: Any) -> dict[str, Any]:
    """What torch tells of one GPU; where it sits is told by torch 2.8 and newer."""
    place: list[Any] = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    return {
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 2**30, 1),
        "bus_id": None if None in place else "{:04x}:{:02x}:{:02x}.0".format(*place),
    }


def compare(
    seen: list[dict[str, Any]], used: tuple[str, ...], facts: Mapping[str, Any], environment: Mapping[str, str]
) -> Verdict:
    recorded = _list(facts.get("gpus"))
    entire = tried_by_one(used)
    wanted = len(entire)
    visible = environment.get(_VISIBLE)
    evidence = {"seen": seen, "used": list(used), _VISIBLE: _shown(visible), _ORDER: environment.get(_ORDER)}
    if len(seen) != wanted:
        why = cause(visible, len(recorded), len(seen)) or f"{_VISIBLE} is not set" * (len(seen) > wanted)
        summary = f"torch sees {len(seen) or 'no'} GPU{'s' * (len(seen) != 1)}, and {wanted} should be there"
        return Verdict(passed=False, summary=f"{summary}{why and f': {why}'}", evidence=evidence, hint=_HINT)
    by_id = {gpu["id"]: gpu for gpu in recorded}
    others = [(number, gpu, by_id[gpu]) for number, gpu in enumerate(entire) if gpu in by_id]
    problems = [text for number, gpu, one in others if (text := _differs(number, seen[number], gpu, one, by_id))]
    places = [each["bus_id"] for each in seen]
    if not others and None not in places and places != sorted(places):
        problems = [f"the GPUs come as {', '.join(places)}, which is not the order of their PCI addresses"]
    if problems:
        if environment.get(_ORDER) != "PCI_BUS_ID":
            problems.append(f"{_ORDER}=PCI_BUS_ID is not set")
        if visible:
            problems.append(cause(visible, len(recorded), len(seen)))
        return Verdict(passed=False, summary="; ".join(problems), evidence=evidence, hint=_HINT)
    names = " and ".join(sorted({each["name"] for each in seen}))
    summary = f"torch sees {len(seen)} x {names}{_in_the_shell(facts)}"
    return Verdict(passed=True, summary=summary, evidence=evidence, gpus=entire)


_HINT = "unset CUDA_VISIBLE_DEVICES; to use some of the GPUs only, set gpus in config.yaml"


def cause(value: str | None, there: int, seen: int) -> str:
    """What this CUDA_VISIBLE_DEVICES does, as CUDA reads it: from the left, up to the first word that means nothing."""
    if value is None:
        return ""
    name, words = f"{_VISIBLE}={_shown(value)}", [word.strip() for word in value.split(",")]
    if not any(words):
        return f"{_VISIBLE} is set to nothing, which hides every GPU"
    if words[0].startswith("MIG-"):
        return f"{name} names slices of MIG, of which a process sees one"
    if words[0].startswith("GPU-"):
        missing = ", of which CUDA reads up to the first that is not here" if seen < len(words) else ""
        return f"{name} names {len(words)} by UUID{missing}"
    read: list[int] = []
    for word in words:
        number = re.match(r"[+-]?\d+", word)
        if not number or int(number[0]) < 0:
            return f"{name}: {_shown(word) or 'an empty word'} is no GPU, and CUDA reads no further"
        if there and int(number[0]) >= there:
            return f"{name}: there is no GPU {int(number[0])}, and CUDA reads no further"
        if int(number[0]) in read:
            return f"{name} names GPU {int(number[0])} twice, for which CUDA shows none"
        read.append(int(number[0]))
    return f"{name} shows {len(read)}" + f" of {there}" * bool(there)


def _differs(number: int, seen: dict[str, Any], gpu: str, one: dict[str, Any], by_id: dict[str, Any]) -> str:
    """Whether the GPU of this number is the recorded one; a source that does not tell contradicts nothing."""
    if seen["bus_id"] and one.get("bus_id") and seen["bus_id"] != one["bus_id"]:
        other = next((other for other, each in by_id.items() if each.get("bus_id") == seen["bus_id"]), "")
        really = f"which is GPU {other} of this host" if other else "which the recording does not have"
        return f"torch's GPU {number} is at {seen['bus_id']}, {really}; GPU {gpu} is at {one['bus_id']}"
    if one.get("integrated"):  # its memory is the host's, and its name the board's
        return ""
    if _PLAIN.sub("", seen["name"]) != _PLAIN.sub("", one["name"]):
        return f"torch calls GPU {gpu} {seen['name']}, the driver {one['name']}"
    memory = one.get("memory_gb")
    if memory and abs(seen["memory_gb"] - memory) > _MEMORY * memory:
        return f"torch sees {seen['memory_gb']} GB in GPU {gpu}, the driver {memory} GB"
    return ""


def _in_the_shell(facts: Mapping[str, Any]) -> str:
    """What was started here has its own variable; what the user starts has that of the shell."""
    environment = facts.get("environment", {})
    value = environment.get(_VISIBLE) if isinstance(environment, dict) else None
    said = cause(value, len(_list(facts.get("gpus"))), 0)
    return f"; what is started from this shell: {said}" if said else ""


def _shown(value: str | None) -> str | None:
    return _UUID.sub(r"\1-…", value)[:80] if value is not None else None


def _list(fact: Any) -> list[dict[str, Any]]:
    """A fact that nobody could read is told as an object with the reason."""
    return fact if isinstance(fact, list) else []


CHECK = Check(
    name="gpus_seen",
    title="GPUs as planned",
    proves="torch sees the GPUs that are to be used, in PCI order, with the names and the memory of the recording",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=120,
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
