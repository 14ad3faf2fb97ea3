"""Verified only where nothing that was promised, used or measured is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.engine.check_results import CheckResult, Figure, Tried
from provision.engine.conclude import conclude
from provision.engine.events import StepResult
from provision.report._model import Report
from tests.engine.conclusions import concludes
from tests.plan.described import plan

PASS, WARN = CheckResult(name="a", outcome="pass"), CheckResult(name="b", outcome="warn")


def check(name: str, outcome: Any, **more: Any) -> CheckResult:
    return CheckResult(name=name, outcome=outcome, **more)


def ended(*checks: CheckResult, promised: str = "ab", gpus: tuple[str, ...] = (), figures: Any = ()) -> tuple[str, int]:
    found = conclude(Tried(checks=checks, figures=figures), list(promised), gpus)
    assert bool(found.against) == (found.verdict != "verified")
    return found.verdict, found.exit_code


def test_what_was_promised_decides() -> None:
    assert ended(PASS, WARN) == ("verified", 0)
    assert ended(PASS, WARN, promised="abc") == ("undecided", 5), "skip is never pass, nor is absence"
    assert ended(PASS, WARN, check("c", "skip")) == ("verified", 0)
    assert ended(PASS, WARN, check("c", "skip"), promised="ac") == ("undecided", 5)
    assert ended(PASS, WARN, check("c", "error"), promised="ac") == ("undecided", 5)
    assert ended(check("a", "fail"), check("b", "skip")) == ("not verified", 1)
    assert ended(promised="") == ("undecided", 5), "nothing was proved"


@pytest.mark.parametrize(
    ("tried", "used", "verdict"),
    [
        (("0", "1"), ("0", "1"), "verified"),
        (("0",), ("0", "1"), "undecided"),
        (("0", "1"), ("0",), "undecided"),
        ((), ("0",), "undecided"),
        (("0:0",), ("0:0", "0:1"), "verified"),  # a process sees one slice
        ((), (), "verified"),  # on the CPU
    ],
)
def test_a_claim_about_every_gpu_was_tried_on_each(tried: Any, used: Any, verdict: str) -> None:
    one = check("a", "pass", every_gpu=True, gpus=tried)
    assert ended(one, promised="a", gpus=used)[0] == verdict
    assert ended(check("a", "pass", gpus=tried), promised="a", gpus=used)[0] == "verified", "it claims nothing of each"


@pytest.mark.parametrize(
    ("tried", "beyond", "verdict"),
    [(("0",), ("1",), "verified"), (("0",), ("1", "2"), "undecided"), ((), ("0", "1"), "undecided")],
)
def test_a_gpu_beyond_a_claim_needs_another_on_which_it_holds(tried: Any, beyond: Any, verdict: str) -> None:
    evidence = {"beyond": dict.fromkeys(beyond, "it has compute capability 7.5, and 8.0 is needed")}
    one = check("a", "pass", every_gpu=True, gpus=tried, evidence=evidence)
    assert ended(one, promised="a", gpus=("0", "1"))[0] == verdict


def test_no_figure_and_no_sample_is_lost() -> None:
    one = check("a", "pass", measured=1)
    figure = Figure(check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 2.0, 3.0), repeats=3)
    fewer = Figure(check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 3.0), repeats=3)
    assert ended(one, promised="a", figures=(figure,)) == ("verified", 0)
    assert ended(one, promised="a", figures=(fewer,)) == ("undecided", 5)
    assert ended(one, promised="a") == ("undecided", 5)


def test_every_case_ends_with_its_reasons() -> None:
    concludes(conclude)


Run = tuple[Tried, tuple[str, ...], tuple[str, ...]]


@st.composite
def verified(draw: st.DrawFn) -> Run:
    """Several checks that all passed or warned on several GPUs, the first of them on each, with figures of each."""
    gpus = tuple(map(str, range(draw(st.integers(1, 4)))))
    checks, figures = list[CheckResult](), list[Figure]()
    for number in range(draw(st.integers(1, 4))):
        name, each = f"check {number}", number == 0 or draw(st.booleans())
        on = gpus if each else ()
        made = [
            _figure(name, f"figure {at}", gpu, draw(st.integers(0, 4)))
            for at in range(draw(st.integers(0, 2)))
            for gpu in on or ("CPU",)
        ]
        outcome = draw(st.sampled_from(["pass", "warn"]))
        checks.append(check(name, outcome, every_gpu=each, gpus=tuple(draw(st.permutations(on))), measured=len(made)))
        figures += made
    shuffled = Tried(checks=tuple(draw(st.permutations(checks))), figures=tuple(draw(st.permutations(figures))))
    return shuffled, tuple(one.name for one in checks), gpus


def _figure(of: str, name: str, on: str, repeats: int) -> Figure:
    """Of no repeats it is a word."""
    samples = tuple(float(each) for each in range(repeats))
    return Figure(check=of, name=name, of={"on": on}, value=1.0 if repeats else "x", samples=samples, repeats=repeats)


def _without(items: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for at in range(len(items)):
        yield items[:at] + items[at + 1 :]


def _with(items: tuple[Any, ...], changes: Any) -> Iterator[tuple[Any, ...]]:
    """Each of the items changed by itself, in every way."""
    for at, one in enumerate(items):
        for change in changes(one):
            yield (*items[:at], msgspec.structs.replace(one, **change), *items[at + 1 :])


def _less(run: Run) -> Iterator[tuple[str, Run]]:
    """All that differs from it by one thing that is missing, or that was not decided."""
    tried, promised, gpus = run
    replaced = msgspec.structs.replace
    for checks in _without(tried.checks):
        yield "a check", (replaced(tried, checks=checks), promised, gpus)
    for used in _without(gpus):
        yield "a GPU that is used", (tried, promised, used)
    for figures in _without(tried.figures):
        yield "a figure", (replaced(tried, figures=figures), promised, gpus)
    for figures in _with(tried.figures, lambda one: [{"samples": less} for less in _without(one.samples)]):
        yield "a sample", (replaced(tried, figures=figures), promised, gpus)
    for checks in _with(tried.checks, lambda one: [{"gpus": less} for less in _without(one.gpus)]):
        yield "a GPU of a check", (replaced(tried, checks=checks), promised, gpus)
    for checks in _with(tried.checks, lambda _: [{"outcome": how} for how in ("skip", "error", "fail")]):
        yield "a decision", (replaced(tried, checks=checks), promised, gpus)
    yield "all promises", (tried, (), gpus)


def _more(run: Run) -> Iterator[Run]:
    """What somebody might add to make good what is missing."""
    tried, promised, gpus = run
    for one in tried.checks:
        again = [msgspec.structs.replace(one, outcome="pass"), check("another", "pass", every_gpu=True, gpus=gpus)]
        for checks in ((*tried.checks, *again), (*again, *tried.checks)):
            yield msgspec.structs.replace(tried, checks=checks), promised, gpus
    for figure in tried.figures:
        yield msgspec.structs.replace(tried, figures=(*tried.figures, figure)), promised, gpus


@settings(max_examples=50, deadline=None)
@given(verified())
def test_nothing_can_be_taken_from_what_is_verified(run: Run) -> None:
    assert conclude(*run).verdict == "verified"
    for what, less in _less(run):
        found = conclude(*less)
        assert found.verdict != "verified", f"without {what}"
        assert found.exit_code, what
        assert found.against, what
        for more in _more(less):
            assert conclude(*more).verdict != "verified", f"without {what}, and something added"


@settings(max_examples=25, deadline=None)
@given(verified())
def test_nothing_can_be_taken_from_what_is_promised_and_from_what_was_tried_at_once(run: Run) -> None:
    """The plan of a run that built still says what was to be tried, and on what."""
    tried, promised, gpus = run
    wanted = plan(f"{{name: NVIDIA H100 80GB HBM3, count: {len(gpus)}}}")
    told = Report(
        run="",
        started="then",
        verdict="verified",
        exit_code=0,
        host={"id": "this"},
        plan=msgspec.structs.replace(wanted, checks=promised),
        generation="",
        gpus=gpus,
        steps=(StepResult(number=40, name="torch", outcome="done"),),
        promised=promised,
        checks=tried.checks,
        figures=tried.figures,
    )
    assert not told.doubt
    change = msgspec.structs.replace
    for name in promised:
        checks = tuple(one for one in tried.checks if one.name != name)
        figures = tuple(one for one in tried.figures if one.check != name)
        left = tuple(one for one in promised if one != name)
        assert f"{name} was not tried" in change(told, checks=checks, figures=figures, promised=left).doubt
    for gpu in gpus:
        checks = tuple(change(one, gpus=tuple(each for each in one.gpus if each != gpu)) for one in tried.checks)
        assert "are used" in change(told, checks=checks, gpus=tuple(one for one in gpus if one != gpu)).doubt
