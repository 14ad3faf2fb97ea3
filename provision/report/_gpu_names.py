"""What each GPU of two runs is called: the driver numbers those that are left anew, a bus address stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from provision.engine.check_results import CheckResult, Figure
from provision.plan._model import Plan
from provision.report._model import Report

Facts = Mapping[str, Any]

_NUMBER = re.compile(r"(\d+)(:\d+)?")
_GPU = re.compile(r"\bGPU (\d+(?::\d+)?)\b")
_CALLED = re.compile(r"\bGPU (\d+(?::\d+)?(?: at [\w:.]+)?)")


class GpuNames(msgspec.Struct, frozen=True, kw_only=True):
    """`names`: by its number in the run after, what a GPU is called; `gone` and `new` are those only one run has."""

    names: Mapping[str, str] = {}
    gone: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()

    @property
    def lone(self) -> frozenset[str]:
        return self.gone | self.new

    def are_lone(self, gpus: set[str]) -> bool:
        """Whether all of these are of one run only; a slice is where its GPU is."""
        return {re.sub(r"^(\d+):\d+", r"\1", gpu) for gpu in gpus} <= self.lone

    @property
    def renumbered(self) -> str:
        """For who looks at the host as it is now."""
        others = [(name, id_) for id_, name in self.names.items() if name != id_ and " " not in name]
        said = ", ".join(f"GPU {name} is GPU {id_}" for name, id_ in others)
        return f"GPUs are called as in the run before; in the run after {said}" if said else ""


def labels(facts: Facts, known: Mapping[str, str]) -> dict[str, str]:
    """What each GPU is called, by id and by bus address: as the other host calls it that has it in the same place."""
    gpus = facts.get("gpus")
    found: dict[str, str] = {}
    for gpu in gpus if isinstance(gpus, (list, tuple)) else ():
        if not isinstance(gpu, dict):
            continue
        id_, bus = str(gpu.get("id")), str(gpu.get("bus_id") or gpu.get("id"))
        taken = f"GPU {id_}" in known.values() and known.get(bus) != f"GPU {id_}"
        found[id_] = found[bus] = known.get(bus) or (f"GPU {id_} at {bus}" if taken else f"GPU {id_}")
    return found


def matched(before: Facts, after: Facts) -> GpuNames:
    """Of two hosts whose GPUs were listed; what was not recorded is matched by number."""
    if not all(isinstance(facts.get("gpus"), (list, tuple)) for facts in (before, after)):
        return GpuNames()
    old = labels(before, {})
    new = labels(after, old)
    ids = [str(gpu.get("id")) for gpu in after["gpus"] if isinstance(gpu, dict)]
    names = {id_: new[id_].removeprefix("GPU ") for id_ in ids}
    sides = [frozenset(label.removeprefix("GPU ") for label in side.values()) for side in (old, new)]
    told_apart = len(set(names.values())) == len(names)
    return GpuNames(names=names if told_apart else {}, gone=sides[0] - sides[1], new=sides[1] - sides[0])


def on(figure: Figure) -> tuple[str, ...]:
    """The GPUs that a figure is of."""
    return tuple(dict.fromkeys(_CALLED.findall(" ".join(figure.of.values()))))


def renamed(report: Report, names: Mapping[str, str]) -> Report:
    """The run after with its GPUs called as in the run before, in all that is compared but its facts."""
    if all(name == id_ for id_, name in names.items()):
        return report
    return msgspec.structs.replace(
        report,
        gpus=_all(report.gpus, names),
        plan=_plan(report.plan, names) if report.plan else None,
        checks=tuple(_check(one, names) for one in report.checks),
        figures=tuple(_figure(one, names) for one in report.figures),
    )


def _all(gpus: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_name(gpu, names) for gpu in gpus)


def _name(gpu: str, names: Mapping[str, str]) -> str:
    found = _NUMBER.fullmatch(gpu)
    if not found or found[1] not in names:
        return gpu
    number, at, bus = names[found[1]].partition(" at ")
    return f"{number}{found[2] or ''}{at}{bus}"


def _plan(plan: Plan, names: Mapping[str, str]) -> Plan:
    used = msgspec.structs.replace(plan.gpus, used=_all(plan.gpus.used, names))
    attention = tuple(msgspec.structs.replace(one, gpu=_name(one.gpu, names)) for one in plan.attention)
    return msgspec.structs.replace(plan, gpus=used, attention=attention)


def _check(check: CheckResult, names: Mapping[str, str]) -> CheckResult:
    return msgspec.structs.replace(check, gpus=_all(check.gpus, names))


def _figure(figure: Figure, names: Mapping[str, str]) -> Figure:
    of = {key: _GPU.sub(lambda found: f"GPU {_name(found[1], names)}", word) for key, word in figure.of.items()}
    return msgspec.structs.replace(figure, of=of)
