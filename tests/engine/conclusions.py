"""What runs come to, case by case, and what each function that has a part in it must say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from provision.engine.check_results import CheckResult, Figure, Tried
from provision.engine.conclude import Conclusion
from provision.engine.launch_checks import Description
from provision.report._model import Report
from tests.plan.described import plan

Conclude = Callable[[Tried, Any, Any], Conclusion]
CODES = {"verified": 0, "not verified": 1, "undecided": 5}


class Case(NamedTuple):
    """What was tried, promised and used; what that comes to, and why."""

    tried: Tried
    promised: tuple[str, ...]
    gpus: tuple[str, ...]
    verdict: str
    against: tuple[str, ...] = ()


def check(name: str, outcome: Any = "pass", **more: Any) -> CheckResult:
    return CheckResult(name=name, outcome=outcome, **more)


def figure(of: str, *, check: str = "copy", name: str = "copy", samples: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Figure:
    return Figure(check=check, name=name, of={"on": of}, value=2.0, unit="GB/s", samples=samples, repeats=3)


def tried(*checks: CheckResult, figures: tuple[Figure, ...] = ()) -> Tried:
    return Tried(checks=checks, figures=figures)


PASS, WARN, FAIL, SKIP, ERROR = (check("a", outcome) for outcome in ("pass", "warn", "fail", "skip", "error"))
B, ERROR_B = check("b"), check("b", "error")
EACH = check("copy", every_gpu=True, gpus=("0", "1"), measured=2)
WARNED = msgspec.structs.replace(EACH, outcome="warn")
BOTH = (figure("GPU 0"), figure("GPU 1"))
SLICES = ("0:0", "0:1")


def _on(*gpus: str, outcome: str = "pass") -> Tried:
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
            "copy was tried on GPU 0, 1, and GPU 0 are used",
            "copy measured 2 figures, and 1 are here",
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
        ("copy was tried on GPU 0, 1, and GPU 0 are used",),
    ),
    Case(_on("0"), ("each",), ("0", "1"), "undecided", ("each was tried on GPU 0, and GPU 0, 1 are used",)),
    Case(_on(), ("each",), ("0",), "undecided", ("each was tried on no GPU, and GPU 0 are used",)),
    Case(_on("0"), ("each",), (), "undecided", ("each was tried on GPU 0, and no GPU are used",)),
    Case(_on("0", outcome="skip"), ("b",), (), "undecided", ("b was not tried",)),
    Case(tried(check("each", "skip", every_gpu=True), B), ("b",), ("0",), "verified"),
    Case(tried(check("a", gpus=("0",))), ("a",), ("0", "1"), "verified"),
    Case(_on(), ("each",), (), "verified"),
    Case(_on("0:0"), ("each",), SLICES, "verified"),
    Case(_on("MIG-a"), ("each",), ("MIG-a", "MIG-b"), "verified"),
    Case(_on("1"), ("each",), ("0:0", "1", "MIG-b"), "verified"),
    Case(_on(*SLICES), ("each",), SLICES, "undecided", ("each was tried on GPU 0:0, 0:1, and GPU 0:0, 0:1 are used",)),
    Case(
        tried(EACH, figures=BOTH[:1]),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, and 1 are here",),
    ),
    Case(
        tried(EACH, figures=(BOTH[0], BOTH[0])),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, and 1 are here",),
    ),
    Case(
        tried(
            check("a", measured=2),
            figures=tuple(
                Figure(check="a", name="n", of=of, value="x") for of in ({"k": "1", "l": "2"}, {"l": "2", "k": "1"})
            ),
        ),
        ("a",),
        (),
        "undecided",
        ("a measured 2 figures, and 1 are here",),
    ),
    Case(
        tried(EACH, figures=(*BOTH, figure("GPU 1", name="other"))),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy measured 2 figures, and 3 are here",),
    ),
    Case(
        tried(EACH, figures=(BOTH[0], figure("GPU 1", samples=(1.0, 3.0)))),
        ("copy",),
        ("0", "1"),
        "undecided",
        ("copy: copy was measured 3 times, and 2 of them are here",),
    ),
    Case(
        tried(PASS, figures=(figure("x", check="z"), figure("y", check="z"), figure("y", check="y"))),
        ("a",),
        (),
        "undecided",
        ("y measured, and its end is not here", "z measured, and its end is not here"),
    ),
    Case(
        tried(SKIP, EACH, figures=BOTH[1:]),
        ("a", "copy"),
        ("0",),
        "undecided",
        (
            "a was skipped",
            "copy was tried on GPU 0, 1, and GPU 0 are used",
            "copy measured 2 figures, and 1 are here",
        ),
    ),
)


def concludes(conclude: Conclude) -> None:
    """Every case ends as it should, with its reasons and their order."""
    for case in CASES:
        found = conclude(case.tried, iter(case.promised), case.gpus)
        assert (found.verdict, found.exit_code) == (case.verdict, CODES[case.verdict]), (case, found)
        assert found.against == case.against, (case, found)


def concludes_as_a_report(concluded: Callable[[Report], Conclusion]) -> None:
    """A report concludes from what it holds, and not from what it claims."""
    for case in CASES:
        found = concluded(_report(case))
        assert (found.verdict, found.against) == (case.verdict, case.against)
    for told, against in _planned():
        assert concluded(told).against == against, told


def _planned() -> Iterator[tuple[Report, tuple[str, ...]]]:
    """What its plan promises and uses, and is nowhere else in a report."""
    case = Case(tried(EACH, figures=BOTH), ("copy",), ("0", "1"), "verified")
    both = plan("{name: NVIDIA H100 80GB HBM3, count: 2}")
    here = {"plan": msgspec.structs.replace(both, checks=("copy", "a")), "host": {"id": "this"}}
    built = [{"number": 15, "name": "own", "outcome": "done"}, {"number": 40, "name": "torch", "outcome": "done"}]
    kept = [{**one, "outcome": "kept"} if one["number"] == 40 else one for one in built]
    yield _report(case, **here, steps=built), ("a was not tried",)
    more = Case(case.tried, ("copy", "mine"), ("0", "1"), "undecided")
    yield _report(more, **here, steps=built), ("mine was not tried", "a was not tried")
    yield _report(case, **here, steps=kept), ()
    yield _report(case, **here, steps=[]), ()
    yield _report(case, **here, steps=built, owed=["a"]), ()
    fewer = Case(tried(msgspec.structs.replace(EACH, gpus=("0",)), figures=BOTH), ("copy",), ("0",), "verified")
    lost = "copy was tried on GPU 0, and GPU 0, 1 are used"
    yield _report(fewer, **here, steps=[]), (lost,)
    yield _report(fewer, **{**here, "host": {}}, steps=[]), ()
    none = Case(tried(msgspec.structs.replace(EACH, gpus=()), figures=BOTH), ("copy",), (), "verified")
    yield _report(none, **here, steps=[]), ()
    yield _report(none, **here, steps=built, owed=["a"]), ("copy was tried on no GPU, and GPU 0, 1 are used",)
    yield _report(none, **{**here, "host": {}}, steps=built, owed=["a"]), ()
    yield _report(none, host={"id": "this"}, steps=built), ()


def _report(case: Case, **more: Any) -> Report:
    document = {"run": "", "started": "then", "host": {}, "plan": None, "generation": "", "steps": [], **more}
    tried, claimed = case.tried, {"verdict": "verified", "exit_code": 0}
    held = {"promised": case.promised, "gpus": case.gpus, "checks": tried.checks, "figures": tried.figures}
    found: Report = msgspec.convert(msgspec.to_builtins({**claimed, **document, **held}), Report)
    return found


def reported_by_hand(report: Callable[..., tuple[dict[str, Any], int]]) -> None:
    """`python -m checks` writes what it tried, all of it, and judges as we do."""
    for case in CASES:
        results = list(_results(case.tried))
        names = {one["name"] for one in results}
        owners = {one.check for one in case.tried.figures}
        if not {*case.promised, *owners} <= names or len(names) != len(case.tried.checks):
            continue  # nobody there tries one twice, or less than all
        document, code = report(results, list(case.promised), list(case.gpus), "then")
        assert (document["verdict"], code) == (case.verdict, CODES[case.verdict]), case
        wanted = _report(case, verdict=case.verdict, exit_code=code)
        assert msgspec.convert(document, Report, strict=False) == wanted, case
        assert document["schema"] == wanted.schema
        assert {"host", "plan", "generation", "steps", "owed"} <= set(document), "as every report has them"


def _results(tried: Tried) -> Iterator[dict[str, Any]]:
    """As its children leave them: figures with their check, each of them whole; nothing for a check that lacks some."""
    for one in tried.checks:
        mine = [each for each in tried.figures if each.check == one.name and len(each.samples) == each.repeats]
        if len({str(sorted(each.of.items())) for each in mine}) == len(mine) == one.measured:
            told = msgspec.to_builtins(one)
            del told["measured"]
            yield {**told, "figures": [_bare(each) for each in mine]}


def _bare(figure: Figure) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(figure)
    del told["check"]
    return told


def weighs(weighed: Callable[[Description, Any], CheckResult], ended: Callable[..., Any]) -> None:
    """A failed `should` is a warning, all else is what it was; and nothing is lost on the way."""
    outcomes = ("pass", "fail", "skip", "error")
    kinds: tuple[tuple[Literal["must", "should"], Literal["fail", "warn"]], ...] = (
        ("must", "fail"),
        ("should", "warn"),
    )
    for weight, of_a_failure in kinds:
        declared = Description(name="n", step=40, weight=weight, proves="p", every_gpu=weight == "must")
        for outcome in outcomes:
            how = ended(outcome, "said", {"e": 1}, 2.5, "try", ({}, {}), ("0", "1"))
            assert weighed(declared, how) == CheckResult(
                name="n",
                step=40,
                outcome=of_a_failure if outcome == "fail" else outcome,  # type: ignore[arg-type]  # one of those above
                weight=weight,
                proves="p",
                summary="said",
                evidence={"e": 1},
                seconds=2.5,
                hint="try",
                every_gpu=weight == "must",
                gpus=("0", "1"),
                measured=2,
            )
