"""The conclusion of runs, case by case, and the results that each function must return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from provision.engine.conclude import Conclusion
from provision.events import CheckDone
from provision.report._model import Report
from provision.results import CheckResult, CheckResults, Figure
from tests.plan.described import plan

Conclude = Callable[[CheckResults, Any, Any], Conclusion]
CODES = {"verified": 0, "not verified": 1, "undecided": 5}


class Case(NamedTuple):
    """The checks and GPUs of a run; its verdict and the reasons against "verified"."""

    tried: CheckResults
    promised: tuple[str, ...]
    gpus: tuple[str, ...]
    verdict: str
    against: tuple[str, ...] = ()


def check(name: str, outcome: Any = "pass", **more: Any) -> CheckResult:
    return CheckResult(name=name, outcome=outcome, **more)


def figure(
    of: str,
    *,
    check: str = "copy",
    name: str = "copy",
    samples: tuple[float, ...] = (1.0, 2.0, 3.0),
) -> Figure:
    return Figure(
        check=check, name=name, of={"on": of}, value=2.0, unit="GB/s", samples=samples, repeats=3
    )


def tried(*checks: CheckResult, figures: tuple[Figure, ...] = ()) -> CheckResults:
    return CheckResults(checks=checks, figures=figures)


PASS, WARN, FAIL, SKIP, ERROR = (
    check("a", outcome) for outcome in ("pass", "warn", "fail", "skip", "error")
)
B, ERROR_B = check("b"), check("b", "error")
EACH = check("copy", every_gpu=True, gpus=("0", "1"), measured=2)
WARNED = msgspec.structs.replace(EACH, outcome="warn")
BOTH = (figure("GPU 0"), figure("GPU 1"))
SLICES = ("0:0", "0:1")


def _on(*gpus: str, outcome: str = "pass") -> CheckResults:
    return tried(check("each", outcome, every_gpu=True, gpus=gpus))


CASES = (
    Case(tried(PASS, B), ("a", "b"), (), "verified"),
    Case(tried(WARN, B), ("a", "b"), (), "verified"),
    Case(tried(PASS, check("b", "skip")), ("a",), (), "verified"),
    Case(tried(PASS, check("b", "error")), ("a",), (), "verified"),
    Case(tried(PASS), (), (), "undecided", ("no check was promised",)),
    Case(tried(), (), (), "undecided", ("no check was promised",)),
    Case(tried(SKIP, B), ("a", "b"), (), "undecided", ("a was skipped",)),
    Case(tried(ERROR, B), ("a", "b"), (), "undecided", ("a could not decide",)),
    Case(tried(B), ("a", "b"), (), "undecided", ("a was not tried",)),
    Case(tried(ERROR, PASS), ("a",), (), "undecided", ("a could not decide",)),
    Case(tried(SKIP, PASS), ("a",), (), "undecided", ("a was skipped",)),
    Case(tried(PASS, ERROR), ("a",), (), "undecided", ("a could not decide",)),
    Case(
        tried(FAIL, SKIP, check("b", "fail")),
        ("a", "c"),
        (),
        "not verified",
        ("a failed", "b failed", "a was skipped", "c was not tried"),
    ),
    Case(
        tried(FAIL, ERROR_B, check("c", "skip"), EACH, figures=BOTH[:1]),
        ("a", "b", "c", "d"),
        ("0",),
        "not verified",
        (
            "a failed",
            "b could not decide",
            "c was skipped",
            "d was not tried",
            "copy was tried on GPU 0, 1, but the run uses GPU 0",
            "copy measured 2 figures, but the run has 1",
        ),
    ),
    Case(tried(PASS, check("b", "fail")), ("a",), (), "not verified", ("b failed",)),
    Case(tried(EACH, figures=BOTH), ("copy",), ("0", "1"), "verified"),
    Case(tried(WARNED, figures=BOTH), ("copy",), ("1", "0"), "verified"),
    Case(
        tried(WARNED, figures=BOTH),
        ("copy",),
        ("0",),
        "undecided",
        ("copy was tried on GPU 0, 1, but the run uses GPU 0",),
    ),
    Case(
        _on("0"),
        ("each",),
        ("0", "1"),
        "undecided",
        ("each was tried on GPU 0, but the run uses GPU 0, 1",),
    ),
    Case(
        _on(), ("each",), ("0",), "undecided", ("each was tried on no GPU, but the run uses GPU 0",)
    ),
    Case(
        _on("0"), ("each",), (), "undecided", ("each was tried on GPU 0, but the run uses no GPU",)
    ),
    Case(_on("0", outcome="skip"), ("b",), (), "undecided", ("b was not tried",)),
    Case(tried(check("each", "skip", every_gpu=True), B), ("b",), ("0",), "verified"),
    Case(tried(check("a", gpus=("0",))), ("a",), ("0", "1"), "verified"),
    Case(_on(), ("each",), (), "verified"),
    Case(_on("0:0"), ("each",), SLICES, "verified"),
    Case(_on("MIG-a"), ("each",), ("MIG-a", "MIG-b"), "verified"),
    Case(_on("1"), ("each",), ("0:0", "1", "MIG-b"), "verified"),
    Case(
        _on(*SLICES),
        ("each",),
        SLICES,
        "undecided",
        ("each was tried on GPU 0:0, 0:1, but the run uses GPU 0:0, 0:1",),
    ),
    Case(
        tried(EACH, figures=BOTH[:1]),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, but the run has 1",),
    ),
    Case(
        tried(EACH, figures=(BOTH[0], BOTH[0])),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, but the run has 1",),
    ),
    Case(
        tried(
            check("a", measured=2),
            figures=tuple(
                Figure(check="a", name="n", of=of, value="x")
                for of in ({"k": "1", "l": "2"}, {"l": "2", "k": "1"})
            ),
        ),
        ("a",),
        (),
        "undecided",
        ("a measured 2 figures, but the run has 1",),
    ),
    Case(
        tried(EACH, figures=(*BOTH, figure("GPU 1", name="other"))),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, but the run has 3",),
    ),
    Case(
        tried(EACH, figures=(BOTH[0], figure("GPU 1", samples=(1.0, 3.0)))),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy: copy was measured 3 times, but has 2 samples",),
    ),
    Case(
        tried(
            PASS, figures=(figure("x", check="z"), figure("y", check="z"), figure("y", check="y"))
        ),
        ("a",),
        (),
        "undecided",
        ("y has figures, but no result", "z has figures, but no result"),
    ),
    Case(
        tried(SKIP, EACH, figures=BOTH[1:]),
        ("a", "copy"),
        ("0",),
        "undecided",
        (
            "a was skipped",
            "copy was tried on GPU 0, 1, but the run uses GPU 0",
            "copy measured 2 figures, but the run has 1",
        ),
    ),
)


def assert_concludes(conclude: Conclude) -> None:
    """Require the verdict and the reasons of every case, in their order."""
    for case in CASES:
        conclusion = conclude(case.tried, iter(case.promised), case.gpus)
        assert conclusion.verdict == case.verdict, (case, conclusion)
        assert conclusion.exit_code == CODES[case.verdict], (case, conclusion)
        assert conclusion.against == case.against, (case, conclusion)


def assert_concludes_as_a_report(concluded: Callable[[Report], Conclusion]) -> None:
    """Require that a report concludes from its contents, not from the verdict that it states."""
    for case in CASES:
        conclusion = concluded(_report(case))
        assert (conclusion.verdict, conclusion.against) == (case.verdict, case.against)
    for report, against in _planned():
        assert concluded(report).against == against, report


def _planned() -> Iterator[tuple[Report, tuple[str, ...]]]:
    """Return reports whose promises and GPUs are only in their plan, with the reasons against."""
    case = Case(tried(EACH, figures=BOTH), ("copy",), ("0", "1"), "verified")
    both = plan("{name: NVIDIA H100 80GB HBM3, count: 2}")
    here = {"plan": msgspec.structs.replace(both, checks=("copy", "a")), "host": {"id": "this"}}
    built = [
        {"number": 15, "name": "own", "outcome": "done"},
        {"number": 40, "name": "torch", "outcome": "done"},
    ]
    kept = [{**step, "outcome": "kept"} if step["number"] == 40 else step for step in built]
    yield _report(case, **here, steps=built), ("a was not tried",)
    more = Case(case.tried, ("copy", "mine"), ("0", "1"), "undecided")
    yield _report(more, **here, steps=built), ("mine was not tried", "a was not tried")
    yield _report(case, **here, steps=kept), ()
    yield _report(case, **here, steps=[]), ()
    yield _report(case, **here, steps=built, owed=["a"]), ()
    fewer = Case(
        tried(msgspec.structs.replace(EACH, gpus=("0",)), figures=BOTH),
        ("copy",),
        ("0",),
        "verified",
    )
    lost = "copy was tried on GPU 0, but the run uses GPU 0, 1"
    yield _report(fewer, **here, steps=[]), (lost,)
    yield _report(fewer, **{**here, "host": {}}, steps=[]), ()
    none = Case(
        tried(msgspec.structs.replace(EACH, gpus=()), figures=BOTH), ("copy",), (), "verified"
    )
    yield _report(none, **here, steps=[]), ()
    yield (
        _report(none, **here, steps=built, owed=["a"]),
        ("copy was tried on no GPU, but the run uses GPU 0, 1",),
    )
    yield _report(none, **{**here, "host": {}}, steps=built, owed=["a"]), ()
    yield _report(none, host={"id": "this"}, steps=built), ()


def _report(case: Case, **more: Any) -> Report:
    document = {
        "run": "",
        "started": "then",
        "host": {},
        "plan": None,
        "generation": "",
        "steps": [],
        **more,
    }
    tried, claimed = case.tried, {"verdict": "verified", "exit_code": 0}
    contents = {
        "promised": case.promised,
        "gpus": case.gpus,
        "checks": tried.checks,
        "figures": tried.figures,
    }
    report: Report = msgspec.convert(
        msgspec.to_builtins({**claimed, **document, **contents}), Report
    )
    return report


def assert_reported_by_hand(report: Callable[..., tuple[dict[str, Any], int]]) -> None:
    """Require that `python -m checks` reports all checks and concludes as the engine does."""
    for case in CASES:
        documents = list(_documents(case.tried))
        names = {document["result"]["name"] for document in documents}
        owners = {figure.check for figure in case.tried.figures}
        if not {*case.promised, *owners} <= names or len(names) != len(case.tried.checks):
            continue  # `python -m checks` tries no check twice, and loses none
        document, code = report(documents, list(case.promised), list(case.gpus), "then")
        assert (document["verdict"], code) == (case.verdict, CODES[case.verdict]), case
        expected = _report(case, verdict=case.verdict, exit_code=code)
        assert msgspec.convert(document, Report, strict=False) == expected, case
        assert document["schema"] == expected.schema
        assert {"host", "plan", "generation", "steps", "owed"} <= set(document), "required fields"


def _documents(tried: CheckResults) -> Iterator[dict[str, Any]]:
    """Return the result documents of the child; leave out checks that lack a figure or sample."""
    for check in tried.checks:
        figures = [figure for figure in tried.figures if figure.check == check.name]
        figures = [figure for figure in figures if len(figure.samples) == figure.repeats]
        different = {str(sorted(figure.of.items())) for figure in figures}
        if len(different) == len(figures) == check.measured:
            document: dict[str, Any] = msgspec.to_builtins(
                CheckDone(result=check, figures=tuple(figures))
            )
            yield document


def assert_weighs(
    result_document: Callable[[dict[str, Any], dict[str, Any], float], dict[str, Any]],
) -> None:
    """Require that a failed `should` becomes a warning, and that nothing else changes."""
    figures = [
        msgspec.to_builtins(figure("GPU 0", check="n")),
        msgspec.to_builtins(figure("GPU 1", check="n")),
    ]
    claimed = [
        {key: value for key, value in document.items() if key != "check"} for document in figures
    ]
    claim = {
        "summary": "text",
        "evidence": {"e": 1},
        "hint": "try",
        "figures": claimed,
        "gpus": ["0", "1"],
    }
    for weight, of_a_failure in (("must", "fail"), ("should", "warn")):
        every_gpu = weight == "must"
        check = {
            "name": "n",
            "step": 40,
            "weight": weight,
            "proves": "p",
            "every_gpu": every_gpu,
            "title": "t",
        }
        for outcome in ("pass", "fail", "skip", "error"):
            document = result_document(check, {**claim, "outcome": outcome}, 2.5)
            assert document == {
                "result": {
                    "name": "n",
                    "step": 40,
                    "outcome": of_a_failure if outcome == "fail" else outcome,
                    "weight": weight,
                    "proves": "p",
                    "summary": "text",
                    "evidence": {"e": 1},
                    "seconds": 2.5,
                    "hint": "try",
                    "every_gpu": every_gpu,
                    "gpus": ["0", "1"],
                    "measured": 2,
                },
                "figures": figures,
            }
            event = msgspec.json.decode(msgspec.json.encode(document), type=CheckDone)
            assert msgspec.to_builtins(event.result) == {
                **document["result"],
                "gpus": ("0", "1"),
                "log": "",
                "lines": (),
            }
    bare = result_document({"name": "n"}, {"outcome": "fail", "summary": "text"}, 0.0)
    event = msgspec.json.decode(msgspec.json.encode(bare), type=CheckDone)
    assert event == CheckDone(result=CheckResult(name="n", outcome="fail", summary="text"))
    of_the_launcher = {"log", "lines"}
    assert set(bare["result"]) == set(CheckResult.__struct_fields__) - of_the_launcher
