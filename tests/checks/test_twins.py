"""The contract of checks: each has a twin, a test with a planted fault that makes it fail."""

from __future__ import annotations

import importlib
from pathlib import Path

from checks import _discover
from provision.engine import launch_checks
from tests.checks import twins

HOW = "mark a test in tests/checks/ that plants a fault and asserts that the check fails"


def twins_of_checks() -> dict[str, list[str]]:
    by_check: dict[str, list[str]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.checks.{file.stem}")
        for test, checks in twins.marked(module).items():
            for check in checks:
                by_check.setdefault(check, []).append(f"{file.name}::{test}")
    return by_check


def test_every_check_has_a_twin_that_fails() -> None:
    missing = set(_discover.names(launch_checks.CHECKS)) - twins_of_checks().keys()
    assert not missing, f"{HOW}: " + ", ".join(f"@twin_of({name!r})" for name in sorted(missing))


def test_twins_name_checks_that_exist() -> None:
    unknown = twins_of_checks().keys() - set(_discover.names(launch_checks.CHECKS))
    assert not unknown, "a twin of no check"
