"""Nearly every mutant of the conclusion fails the assertions about it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from checks import _conclude as of_the_child
from provision.engine import conclude
from provision.report import _model
from tests.engine import conclusions
from tests.engine.mutants import mutants

_LEAST = 0.9


class Target(NamedTuple):
    """Functions with a part in the conclusion, and the assertions about them."""

    module: ModuleType
    functions: tuple[str, ...]
    assert_holds: Callable[[dict[str, Any]], None]


TARGETS = (
    Target(conclude, (), lambda names: conclusions.assert_concludes(names["conclude"])),
    Target(
        _model,
        ("conclusion",),
        lambda names: conclusions.assert_concludes_as_a_report(names["conclusion"]),
    ),
    Target(
        of_the_child,
        ("result_document",),
        lambda names: conclusions.assert_weighs(names["result_document"]),
    ),
    Target(
        of_the_child,
        ("report", "_tried_on_all"),
        lambda names: conclusions.assert_reported_by_hand(names["report"]),
    ),
)
# Mutants that behave the same, and why.
EQUIVALENT = {
    "return ''  ->  return None": "only the truth value of the text of an incomplete figure counts",
    "bool(promised)  ->  promised": "only its truth value counts",
    "tuple(gpus)  ->  gpus": "a list of GPUs behaves as a tuple",
}


@pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.module.__name__} {' '.join(target.functions)}"
)
def test_mutants_of_the_conclusion_die(target: Target) -> None:
    alive, count = [], 0
    for mutant in mutants(target.module, target.functions):
        if mutant.what in EQUIVALENT:
            continue
        count += 1
        try:
            target.assert_holds(mutant.names)
        except Exception:  # noqa: BLE001 - any failure of a mutant counts
            continue
        alive.append(f"line {mutant.line}: {mutant.what}")
    print(f"{count} mutants, {len(alive)} alive", *alive, sep="\n")  # noqa: T201
    assert count
    assert len(alive) <= (1 - _LEAST) * count, "\n".join(alive)


def test_the_unchanged_functions_pass() -> None:
    for target in TARGETS:
        holds = {name: getattr(target.module, name, None) for name in vars(target.module)}
        if target.module is _model:
            holds["conclusion"] = vars(_model.Report)["conclusion"].fget
        target.assert_holds(holds)
