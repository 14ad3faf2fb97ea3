"""Names of the GPUs of two runs: the driver renumbers the rest after a loss, bus addresses stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from provision.plan._model import Plan
from provision.report._model import Report
from provision.results import Figure

Facts = Mapping[str, Any]

_ID = re.compile(r"(\d+)(:\d+)?")
_GPU = re.compile(r"\bGPU (\d+(?::\d+)?)\b")
_NAME = re.compile(r"\bGPU (\d+(?::\d+)?(?: at [\w:.]+)?)")


class GpuNames(msgspec.Struct, frozen=True, kw_only=True):
    """The name of each GPU by its id in the later run; `gone` and `new` are in one run only."""

    names: Mapping[str, str] = {}
    gone: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()

    def are_lone(self, gpus: set[str]) -> bool:
        """Return whether only one run has these GPUs; a slice belongs to its GPU."""
        return {re.sub(r"^(\d+):\d+", r"\1", gpu) for gpu in gpus} <= self.gone | self.new

    @property
    def renumbered(self) -> str:
        """Return a sentence about GPUs that have another number in the later run, else ""."""
        # A name with a bus address is clear without a note.
        text = ", ".join(
            f"GPU {name} is GPU {id_}"
            for id_, name in self.names.items()
            if name != id_ and " " not in name
        )
        return f"GPU numbers are those of the earlier run; in the later run {text}" if text else ""


def labels(facts: Facts, known: Mapping[str, str]) -> dict[str, str]:
    """Return a label for each GPU, by id and by bus address.

    A GPU in the same place as one of the other host takes its label from `known`.
    """
    gpus = facts.get("gpus")
    by_place: dict[str, str] = {}
    for gpu in gpus if isinstance(gpus, (list, tuple)) else ():
        if not isinstance(gpu, dict):
            continue
        id_, bus = str(gpu.get("id")), str(gpu.get("bus_id") or gpu.get("id"))
        # A new GPU may have the number that a lost one had.
        is_taken = f"GPU {id_}" in known.values() and known.get(bus) != f"GPU {id_}"
        own = f"GPU {id_} at {bus}" if is_taken else f"GPU {id_}"
        by_place[id_] = by_place[bus] = known.get(bus) or own
    return by_place


def match(before: Facts, after: Facts) -> GpuNames:
    """Return the names for two runs; without lists of GPUs a number means the same GPU."""
    if not all(isinstance(facts.get("gpus"), (list, tuple)) for facts in (before, after)):
        return GpuNames()
    old = labels(before, {})
    new = labels(after, old)
    ids = [str(gpu.get("id")) for gpu in after["gpus"] if isinstance(gpu, dict)]
    names = {id_: new[id_].removeprefix("GPU ") for id_ in ids}
    old_names, new_names = (
        frozenset(label.removeprefix("GPU ") for label in side.values()) for side in (old, new)
    )
    return GpuNames(
        names=names if len(set(names.values())) == len(names) else {},
        gone=old_names - new_names,
        new=new_names - old_names,
    )


def on(figure: Figure) -> tuple[str, ...]:
    """Return the GPUs that a figure is about."""
    return tuple(dict.fromkeys(_NAME.findall(" ".join(figure.of.values()))))


def rename(report: Report, names: Mapping[str, str]) -> Report:
    """Return the later report with the GPU names of the earlier one; its facts stay."""
    if all(name == id_ for id_, name in names.items()):
        return report
    return msgspec.structs.replace(
        report,
        gpus=_ids(report.gpus, names),
        plan=_plan(report.plan, names) if report.plan else None,
        checks=tuple(
            msgspec.structs.replace(check, gpus=_ids(check.gpus, names)) for check in report.checks
        ),
        figures=tuple(_figure(figure, names) for figure in report.figures),
    )


def _ids(gpus: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_id(gpu, names) for gpu in gpus)


def _id(gpu: str, names: Mapping[str, str]) -> str:
    match_ = _ID.fullmatch(gpu)
    if not match_ or match_[1] not in names:
        return gpu
    number, at, bus = names[match_[1]].partition(" at ")
    return f"{number}{match_[2] or ''}{at}{bus}"


def _plan(plan: Plan, names: Mapping[str, str]) -> Plan:
    return msgspec.structs.replace(
        plan,
        gpus=msgspec.structs.replace(plan.gpus, used=_ids(plan.gpus.used, names)),
        attention=tuple(
            msgspec.structs.replace(choice, gpu=_id(choice.gpu, names)) for choice in plan.attention
        ),
    )


def _figure(figure: Figure, names: Mapping[str, str]) -> Figure:
    return msgspec.structs.replace(
        figure,
        of={
            key: _GPU.sub(lambda gpu: f"GPU {_id(gpu[1], names)}", word)
            for key, word in figure.of.items()
        },
    )
