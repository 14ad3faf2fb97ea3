"""A run is verified only if nothing that was promised, used or measured is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.engine.conclude import conclude
from provision.events import StepResult
from provision.report._model import Report
from provision.results import CheckResult, CheckResults, Figure
from tests.engine.conclusions import assert_concludes
from tests.plan.described import plan

PASS, WARN = CheckResult(name="a", outcome="pass"), CheckResult(name="b", outcome="warn")


def check(name: str, outcome: Any, **more: Any) -> CheckResult:
    return CheckResult(name=name, outcome=outcome, **more)


def verdict_of(
    *checks: CheckResult, promised: str = "ab", gpus: tuple[str, ...] = (), figures: Any = ()
) -> tuple[str, int]:
    conclusion = conclude(CheckResults(checks=checks, figures=figures), list(promised), gpus)
    assert bool(conclusion.against) == (conclusion.verdict != "verified")
    return conclusion.verdict, conclusion.exit_code


def test_the_promised_checks_decide() -> None:
    assert verdict_of(PASS, WARN) == ("verified", 0)
    assert verdict_of(PASS, WARN, promised="abc") == ("undecided", 5), (
        "neither a skip nor an absence is a pass"
    )
    assert verdict_of(PASS, WARN, check("c", "skip")) == ("verified", 0)
    assert verdict_of(PASS, WARN, check("c", "skip"), promised="ac") == ("undecided", 5)
    assert verdict_of(PASS, WARN, check("c", "error"), promised="ac") == ("undecided", 5)
    assert verdict_of(check("a", "fail"), check("b", "skip")) == ("not verified", 1)
    assert verdict_of(promised="") == ("undecided", 5), "nothing was promised"


@pytest.mark.parametrize(
    ("tried", "used", "verdict"),
    [
        (("0", "1"), ("0", "1"), "verified"),
        (("0",), ("0", "1"), "undecided"),
        (("0", "1"), ("0",), "undecided"),
        ((), ("0",), "undecided"),
        (("0:0",), ("0:0", "0:1"), "verified"),  # a process sees one MIG slice
        ((), (), "verified"),  # on the CPU
    ],
)
def test_a_check_about_every_gpu_must_be_tried_on_each(tried: Any, used: Any, verdict: str) -> None:
    every_gpu = check("a", "pass", every_gpu=True, gpus=tried)
    assert verdict_of(every_gpu, promised="a", gpus=used)[0] == verdict
    plain = check("a", "pass", gpus=tried)
    assert verdict_of(plain, promised="a", gpus=used)[0] == "verified", "not about every GPU"


@pytest.mark.parametrize(
    ("tried", "beyond", "verdict"),
    [
        (("0",), ("1",), "verified"),
        (("0",), ("1", "2"), "undecided"),
        ((), ("0", "1"), "undecided"),
    ],
)
def test_a_gpu_beyond_a_check_needs_another_that_passed(
    tried: Any, beyond: Any, verdict: str
) -> None:
    evidence = {"beyond": dict.fromkeys(beyond, "it has compute capability 7.5, and 8.0 is needed")}
    result = check("a", "pass", every_gpu=True, gpus=tried, evidence=evidence)
    assert verdict_of(result, promised="a", gpus=("0", "1"))[0] == verdict


def test_a_missing_figure_or_sample_is_noticed() -> None:
    result = check("a", "pass", measured=1)
    figure = Figure(
        check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 2.0, 3.0), repeats=3
    )
    fewer = Figure(check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 3.0), repeats=3)
    assert verdict_of(result, promised="a", figures=(figure,)) == ("verified", 0)
    assert verdict_of(result, promised="a", figures=(fewer,)) == ("undecided", 5)
    assert verdict_of(result, promised="a") == ("undecided", 5)


def test_every_case_ends_with_its_reasons() -> None:
    assert_concludes(conclude)


Run = tuple[CheckResults, tuple[str, ...], tuple[str, ...]]


@st.composite
def verified(draw: st.DrawFn) -> Run:
    """Draw checks that all passed or warned, the first of them on every GPU, with their figures."""
    gpus = tuple(map(str, range(draw(st.integers(1, 4)))))
    checks, figures = list[CheckResult](), list[Figure]()
    for number in range(draw(st.integers(1, 4))):
        name, every_gpu = f"check {number}", number == 0 or draw(st.booleans())
        on = gpus if every_gpu else ()
        new = [
            _figure(name, f"figure {at}", gpu, draw(st.integers(0, 4)))
            for at in range(draw(st.integers(0, 2)))
            for gpu in on or ("CPU",)
        ]
        outcome = draw(st.sampled_from(["pass", "warn"]))
        checks.append(
            check(
                name,
                outcome,
                every_gpu=every_gpu,
                gpus=tuple(draw(st.permutations(on))),
                measured=len(new),
            )
        )
        figures += new
    shuffled = CheckResults(
        checks=tuple(draw(st.permutations(checks))), figures=tuple(draw(st.permutations(figures)))
    )
    return shuffled, tuple(result.name for result in checks), gpus


def _figure(of: str, name: str, on: str, repeats: int) -> Figure:
    """Return a figure, or a word if there are no repeats."""
    samples = tuple(map(float, range(repeats)))
    return Figure(
        check=of,
        name=name,
        of={"on": on},
        value=1.0 if repeats else "x",
        samples=samples,
        repeats=repeats,
    )


def _without(items: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for at in range(len(items)):
        yield items[:at] + items[at + 1 :]


def _with(items: tuple[Any, ...], changes: Any) -> Iterator[tuple[Any, ...]]:
    """Return the items with one of them changed, in every way."""
    for at, item in enumerate(items):
        for change in changes(item):
            yield (*items[:at], msgspec.structs.replace(item, **change), *items[at + 1 :])


def _less(run: Run) -> Iterator[tuple[str, Run]]:
    """Return every run in which one thing is missing or undecided."""
    tried, promised, gpus = run
    replaced = msgspec.structs.replace
    for checks in _without(tried.checks):
        yield "a check", (replaced(tried, checks=checks), promised, gpus)
    for used in _without(gpus):
        yield "a GPU that is used", (tried, promised, used)
    for figures in _without(tried.figures):
        yield "a figure", (replaced(tried, figures=figures), promised, gpus)
    for figures in _with(
        tried.figures, lambda figure: [{"samples": less} for less in _without(figure.samples)]
    ):
        yield "a sample", (replaced(tried, figures=figures), promised, gpus)
    for checks in _with(
        tried.checks, lambda result: [{"gpus": less} for less in _without(result.gpus)]
    ):
        yield "a GPU of a check", (replaced(tried, checks=checks), promised, gpus)
    for checks in _with(
        tried.checks, lambda _: [{"outcome": outcome} for outcome in ("skip", "error", "fail")]
    ):
        yield "a decision", (replaced(tried, checks=checks), promised, gpus)
    yield "all promises", (tried, (), gpus)


def _more(run: Run) -> Iterator[Run]:
    """Return runs with an addition that could hide a missing part."""
    tried, promised, gpus = run
    for result in tried.checks:
        again = [
            msgspec.structs.replace(result, outcome="pass"),
            check("another", "pass", every_gpu=True, gpus=gpus),
        ]
        for checks in ((*tried.checks, *again), (*again, *tried.checks)):
            yield msgspec.structs.replace(tried, checks=checks), promised, gpus
    for figure in tried.figures:
        yield msgspec.structs.replace(tried, figures=(*tried.figures, figure)), promised, gpus


@settings(max_examples=50, deadline=None)
@given(verified())
def test_a_verified_run_without_anything_of_it_is_not_verified(run: Run) -> None:
    assert conclude(*run).verdict == "verified"
    for what, less in _less(run):
        conclusion = conclude(*less)
        assert conclusion.verdict != "verified", f"without {what}"
        assert conclusion.exit_code, what
        assert conclusion.against, what
        for more in _more(less):
            assert conclude(*more).verdict != "verified", f"without {what}, and something added"


def _other_than(gpu: str, gpus: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(other for other in gpus if other != gpu)


@settings(max_examples=25, deadline=None)
@given(verified())
def test_the_plan_still_promises_a_check_removed_from_a_report(run: Run) -> None:
    """Require that a report cannot lose a check or GPU that its plan names."""
    tried, promised, gpus = run
    planned = plan(f"{{name: NVIDIA H100 80GB HBM3, count: {len(gpus)}}}")
    report = Report(
        run="",
        started="then",
        verdict="verified",
        exit_code=0,
        host={"id": "this"},
        plan=msgspec.structs.replace(planned, checks=promised),
        generation="",
        gpus=gpus,
        steps=(StepResult(number=40, name="torch", outcome="done"),),
        promised=promised,
        checks=tried.checks,
        figures=tried.figures,
    )
    assert not report.doubt
    change = msgspec.structs.replace
    for name in promised:
        checks = tuple(result for result in tried.checks if result.name != name)
        figures = tuple(figure for figure in tried.figures if figure.check != name)
        left = tuple(other for other in promised if other != name)
        assert (
            f"{name} was not tried"
            in change(report, checks=checks, figures=figures, promised=left).doubt
        )
    for gpu in gpus:
        checks = tuple(
            change(result, gpus=_other_than(gpu, result.gpus)) for result in tried.checks
        )
        assert (
            "but the run uses" in change(report, checks=checks, gpus=_other_than(gpu, gpus)).doubt
        )
