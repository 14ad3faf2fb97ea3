"""Verified only where nothing that was promised, used or measured is missing."""

from __future__ import annotations

from typing import Any

import pytest

from provision.engine.conclude import conclude
from provision.engine.tried import CheckResult, Figure, Tried

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


def test_no_figure_and_no_sample_is_lost() -> None:
    one = check("a", "pass", measured=1)
    figure = Figure(check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 2.0, 3.0), repeats=3)
    fewer = Figure(check="a", name="copy", value=2.0, unit="GB/s", samples=(1.0, 3.0), repeats=3)
    assert ended(one, promised="a", figures=(figure,)) == ("verified", 0)
    assert ended(one, promised="a", figures=(fewer,)) == ("undecided", 5)
    assert ended(one, promised="a") == ("undecided", 5)
