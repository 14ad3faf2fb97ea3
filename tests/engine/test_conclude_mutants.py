"""The conclusion has no line that could be wrong unseen: of its mutants hardly any passes what is asserted of it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from checks import __main__ as by_hand
from provision.engine import conclude, launch_checks
from provision.report import _model
from tests.engine import conclusions
from tests.engine.mutants import mutants

_LEAST = 0.9


class Target(NamedTuple):
    """Functions with a part in the conclusion, and what is asserted of them."""

    module: ModuleType
    functions: tuple[str, ...]
    holds: Callable[[dict[str, Any]], None]


def _ended(*told: Any) -> Any:
    return launch_checks._Ended(**dict(zip(launch_checks._Ended.__struct_fields__, told, strict=True)))


TARGETS = (
    Target(conclude, (), lambda names: conclusions.concludes(names["conclude"])),
    Target(_model, ("conclusion",), lambda names: conclusions.concludes_as_a_report(names["conclusion"])),
    Target(launch_checks, ("_weighed",), lambda names: conclusions.weighs(names["_weighed"], _ended)),
    Target(by_hand, ("_report", "_untried"), lambda names: conclusions.reported_by_hand(names["_report"])),
)
# Mutants that do the same, and why.
EQUIVALENT = {
    "return ''  ->  return None": "of an incomplete figure only the truth of what is said is asked",
    "bool(promised)  ->  promised": "of what is kept only the truth is asked",
    "bool(about)  ->  about": "of what is untried only the truth is asked",
    "tuple(gpus)  ->  gpus": "a list of GPUs is gone through as a tuple is",
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module.__name__)
def test_mutants_of_the_conclusion_die(target: Target) -> None:
    alive, count = [], 0
    for mutant in mutants(target.module, target.functions):
        if mutant.what in EQUIVALENT:
            continue
        count += 1
        try:
            target.holds(mutant.names)
        except Exception:  # noqa: BLE001 - whatever a mutant dies of
            continue
        alive.append(f"line {mutant.line}: {mutant.what}")
    print(f"{count} mutants, {len(alive)} alive", *alive, sep="\n")  # noqa: T201
    assert count
    assert len(alive) <= (1 - _LEAST) * count, "\n".join(alive)


def test_what_is_not_changed_lives() -> None:
    for target in TARGETS:
        holds = {name: getattr(target.module, name, None) for name in vars(target.module)}
        if target.module is _model:
            holds["conclusion"] = vars(_model.Report)["conclusion"].fget
        target.holds(holds)
