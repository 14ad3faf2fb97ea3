"""record_whole and distributions_as_locked: edited, replaced and added files are found."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from provision.engine.launch_checks import CheckContext
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of

CPU = CheckContext(profile="cpu")
PINS = {"Alpha_One": "1.0", "beta": "2.13.0+cu130"}


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    made = SmallEnvironment(tmp_path / "env with spaces ü")
    made.install(
        "alpha-one", "1.0", {"alpha/__init__.py": "one = 1\n", "alpha/data.bin": b"\0" * 3_000_000}
    )
    made.install(
        "beta", "2.13.0+cu130", {"beta.py": "two = 2\n", "../../../bin/beta": "#!python\n"}
    )
    return made


def test_recorded_files_pass(environment: SmallEnvironment) -> None:
    result = environment.check("record_whole")
    assert (result.outcome, result.summary) == (
        "pass",
        "8 files of 2 distributions are as recorded",
    )


@twin_of("record_whole")
def test_damage_is_found_and_named(environment: SmallEnvironment) -> None:
    def summary() -> str:
        result = environment.check("record_whole")
        assert result.outcome == "fail"
        return result.summary

    data = environment.site / "alpha" / "data.bin"
    data.write_bytes(b"\0" * 2_999_999 + b"\1")
    assert summary().startswith("data.bin of alpha_one-1.0 was changed: ")
    data.write_bytes(b"\0" * 2_999_999)
    assert "data.bin of alpha_one-1.0 has 2999999 bytes, not 3000000" in summary()
    data.unlink()
    assert "data.bin of alpha_one-1.0 is missing" in summary()
    data.write_bytes(b"\0" * 3_000_000)
    (environment.folder / "bin" / "beta").write_text("#!pythOn\n")
    assert "beta of beta-2.13.0+cu130 was changed" in summary()
    (environment.site / "beta-2.13.0+cu130.dist-info" / "RECORD").unlink()
    assert "beta-2.13.0+cu130.dist-info/RECORD cannot be read" in summary()
    (environment.site / "beta-2.13.0+cu130.dist-info" / "RECORD").write_text("beta.py\n")
    assert "has an invalid line" in summary()


def test_an_empty_environment_fails(tmp_path: Path) -> None:
    assert SmallEnvironment(tmp_path / "env").check("record_whole").outcome == "fail"


def test_a_file_of_two_distributions_must_match_one_of_them(environment: SmallEnvironment) -> None:
    environment.install("gamma", "1", {"tests/__init__.py": "first\n"})
    environment.install("delta", "1", {"tests/__init__.py": "second\n"})
    result = environment.check("record_whole")
    assert result.outcome == "pass"
    assert [Path(path).name for path in result.evidence["claimed_by_several"]] == ["__init__.py"]
    (environment.site / "tests" / "__init__.py").write_text("third!\n")
    assert environment.check("record_whole").outcome == "fail"


def test_a_record_that_was_published_wrong_does_not_hide_damage(
    environment: SmallEnvironment,
) -> None:
    """Some published wheels differ from their RECORD; the check gets their true digests."""
    (environment.site / "beta.py").write_text("two = 'as in the wheel'\n")
    true = (
        base64.urlsafe_b64encode(hashlib.sha256(b"two = 'as in the wheel'\n").digest())
        .rstrip(b"=")
        .decode()
    )
    known = CheckContext(profile="cpu", contents={"beta.py": f"sha256={true}"})
    assert environment.check("record_whole").outcome == "fail"
    assert environment.check("record_whole", known).outcome == "pass"
    (environment.site / "beta.py").write_text("two = 'edited by hand.'\n")
    assert environment.check("record_whole", known).outcome == "fail"


def locked(environment: SmallEnvironment, pins: dict[str, str]) -> tuple[str, str]:
    result = environment.check("distributions_as_locked", CheckContext(profile="cpu", pins=pins))
    return result.outcome, result.summary


def test_as_locked(environment: SmallEnvironment) -> None:
    assert locked(environment, PINS) == (
        "pass",
        "all 2 distributions are the locked ones; no pip here",
    )
    environment.install("pip", "24.0", {})
    assert locked(environment, PINS)[0] == "pass", "a virtual environment may bring pip"
    assert locked(environment, {**PINS, "pip": "25.0"}) == ("fail", "pip 25.0 became 24.0")


@twin_of("distributions_as_locked")
def test_replaced_distributions_are_named(environment: SmallEnvironment) -> None:
    assert locked(environment, {**PINS, "beta": "2.15.0"}) == (
        "fail",
        "beta 2.15.0 became 2.13.0+cu130",
    )
    assert locked(environment, {**PINS, "beta": "2.13.0"}) == (
        "fail",
        "beta 2.13.0 became 2.13.0+cu130",
    )
    assert locked(environment, {**PINS, "gamma": "1"}) == ("fail", "gamma 1 is missing")
    environment.install("stranger", "3", {})
    outcome, summary = locked(environment, PINS)
    assert (outcome, "added by hand" in summary, "stranger 3" in summary) == ("pass", True, True), (
        "it is somebody's own"
    )
    environment.install("beta", "2.14.0", {})
    assert "beta 2.13.0+cu130 became 2.13.0+cu130 and 2.14.0" in locked(environment, PINS)[1]


def test_versions_are_compared_as_they_are_meant(environment: SmallEnvironment) -> None:
    environment.install("calendar", "2024.01.0RC1", {})
    environment.install("greek", "1.0-Alpha.2", {})
    assert locked(environment, {**PINS, "calendar": "2024.1.0rc1", "greek": "1.0a2"})[0] == "pass"
    assert locked(environment, {**PINS, "calendar": "2024.10.0rc1", "greek": "1.0a2"})[0] == "fail"


def test_a_distribution_without_metadata_is_not_the_locked_one(
    environment: SmallEnvironment,
) -> None:
    (environment.site / "alpha_one-1.0.dist-info" / "METADATA").unlink()
    assert locked(environment, PINS) == ("fail", "alpha-one 1.0 became 1.0 (without metadata)")
