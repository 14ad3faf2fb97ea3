"""A verified upgrade that is slower or answers differently does not replace the current one."""

from __future__ import annotations

import json
import shutil
from typing import Any

import msgspec
import pytest

from provision import cli
from provision.engine import environments, promised_checks, resolution_cache, verified
from provision.engine.bring_up import Built
from provision.errors import WrongSetting
from provision.host._model import Host
from provision.session import optional
from provision.session._model import Outcome
from provision.settings import Settings, load
from tests.verbs.conftest import Place
from tests.verbs.measuring import Measuring

pytestmark = pytest.mark.environment


@pytest.fixture
def measuring(place: Place, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    """A verified environment with numpy 2.2 is in use."""
    made = Measuring(place, monkeypatch)
    assert cli.run(["up", "--quiet"]) == 0
    made.tried()
    return made


def in_use(measuring: Measuring) -> str | None:
    return environments.current_id(measuring.place.prefix)


SLOWER = {"quick": 475.0}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (SLOWER, "quick rate: slower by 12 %: 540 -> 475 TFLOP/s (spreads "),
        ({"tokens": "1 2 4"}, "glance tokens: 1 2 3 -> 1 2 4"),
        pytest.param(
            {"backend": "TRITON_ATTN"},
            "glance attention backend: FLASH_ATTN -> TRITON_ATTN",
            marks=pytest.mark.long,
        ),
    ],
    ids=["slower", "other tokens", "another backend"],
)
def test_what_is_worse_does_not_replace_what_is_in_use(
    measuring: Measuring, capsys: pytest.CaptureFixture[str], found: dict[str, Any], message: str
) -> None:
    before = in_use(measuring)
    measuring.upgrade(**found)
    capsys.readouterr()
    assert cli.run(["up"]) == 1
    out = capsys.readouterr().out
    assert in_use(measuring) == before
    (new,) = [generation for generation in measuring.place.generations() if generation != before]
    things = "1 thing is" if "quick" in found else "2 things are"
    assert (
        f"{new} is verified, but {things} worse or different: the one in use stays current" in out
    )
    assert message in out
    assert f"./setup.sh rollback {new}" in out
    assert "serve a model" not in out

    measuring.tried()
    built = measuring.place.snapshot().keys()
    assert cli.run(["up", "--json"]) == 1, "the same again"
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"], document["generation"]) == (
        "verified",
        1,
        new,
    )
    assert len(document["regressions"]) == (1 if "quick" in found else 2)
    assert message in document["regressions"][0]
    assert measuring.tried() == [], "nothing is tried again to say the same"
    assert {path for path in measuring.place.snapshot().keys() - built if "/envs/" in path} == set()

    assert cli.run(["rollback", new]) == 0
    capsys.readouterr()
    assert cli.run(["up"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert in_use(measuring) == new


@pytest.mark.parametrize(
    ("found", "words", "message"),
    [
        pytest.param({"quick": 500.0}, (), "quick rate: slower by 7.41 %", marks=pytest.mark.long),
        pytest.param({"quick": 600.0}, (), "quick rate: faster by 11.1 %", marks=pytest.mark.long),
        (SLOWER, ("--set", "upgrade.threshold=0.2"), "quick rate: slower by 12 %"),
        (SLOWER, ("--set", "upgrade.on_regression=switch"), "quick rate: slower by 12 %"),
        ({"deep": 100.0}, (), "everything else is unchanged"),
    ],
    ids=[
        "a little slower",
        "faster",
        "the threshold is higher",
        "asked to switch",
        "nobody looked",
    ],
)
def test_after_a_switch_it_is_said_what_changed(
    measuring: Measuring,
    capsys: pytest.CaptureFixture[str],
    found: dict[str, Any],
    words: tuple[str, ...],
    message: str,
) -> None:
    before = in_use(measuring)
    measuring.upgrade(**found)
    capsys.readouterr()
    assert cli.run(["up", *words]) == 0
    out = capsys.readouterr().out
    assert in_use(measuring) != before
    assert f"beside {before}, which it replaces:\n  numpy 2.2 -> 2.1" in out
    assert message in out


def test_what_was_kept_out_is_switched_to_where_that_is_asked_for(measuring: Measuring) -> None:
    before = in_use(measuring)
    measuring.upgrade(**SLOWER)
    assert cli.run(["up"]) == 1
    assert cli.run(["up", "--set", "upgrade.on_regression=switch"]) == 0
    assert in_use(measuring) != before
    assert len(measuring.place.generations()) == 2, "it was not built again"


def test_in_full_the_speeds_of_both_are_measured_one_after_the_other(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    before = in_use(measuring)
    measuring.upgrade(deep=700.0)
    full = ("--set", "upgrade.compare=full")
    assert cli.run(["up", *full, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["regressions"][0].startswith("deep rate: slower by 22.2 %: 900 -> 700 TFLOP/s")
    assert {figure["check"] for figure in document["figures"]} == {"glance", "quick"}, (
        "a report has what was promised"
    )
    assert measuring.tried() == ["glance 2.1", "quick 2.1", "deep 2.2", "deep 2.1"]
    assert in_use(measuring) == before
    assert cli.run(["up", *full]) == 1
    assert measuring.tried() == []


def test_what_an_earlier_run_has_measured_and_nobody_can_read_is_measured_again(
    measuring: Measuring,
) -> None:
    measuring.upgrade(deep=700.0)
    full = ("--set", "upgrade.compare=full")
    assert cli.run(["up", *full]) == 1
    (kept,) = measuring.place.prefix.glob("*/.vllm-ready/upgrade/*.json")
    kept.write_text("{}")
    measuring.tried()
    assert cli.run(["up", *full]) == 1
    assert measuring.tried() == ["deep 2.2", "deep 2.1"]


def test_a_verdict_of_before_there_were_figures_is_tried_for_anew(measuring: Measuring) -> None:
    before = in_use(measuring)
    measuring.upgrade(**SLOWER)
    assert cli.run(["up"]) == 1
    (new,) = [generation for generation in measuring.place.generations() if generation != before]
    report = verified.report_path(measuring.place.prefix / new)
    report.write_text(json.dumps({**json.loads(report.read_text()), "figures": {}}))
    measuring.tried()
    assert cli.run(["up"]) == 1
    assert measuring.tried(), "what it says cannot be read"
    assert in_use(measuring) == before


def test_environments_that_were_kept_out_are_no_more_than_are_to_be_kept(
    measuring: Measuring,
) -> None:
    before = in_use(measuring)
    older = measuring.place.prefix / "older"
    shutil.copytree(measuring.place.prefix / str(before) / ".vllm-ready", older / ".vllm-ready")
    made = older / ".vllm-ready" / environments.MADE
    made.write_text(json.dumps({**json.loads(made.read_text()), "number": 0}))
    measuring.upgrade(**SLOWER)
    assert cli.run(["up", "--set", "keep=1"]) == 1
    assert in_use(measuring) == before
    assert len(measuring.place.generations()) == 2
    assert not older.exists()


def test_what_was_not_verified_keeps_nothing_from_replacing_it(measuring: Measuring) -> None:
    before = in_use(measuring)
    measuring.say("2.2", outcome="fail")
    assert cli.run(["check"]) == 1
    measuring.upgrade(**SLOWER)
    assert cli.run(["up"]) == 0
    assert in_use(measuring) != before


def test_an_upgrade_that_fails_is_not_verified_as_before(measuring: Measuring) -> None:
    before = in_use(measuring)
    measuring.upgrade(outcome="fail")
    assert cli.run(["up", "--json"]) == 1
    assert in_use(measuring) == before


def test_a_program_that_follows_is_told_why(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    from provision.session.event_stream import Stream

    measuring.upgrade(**SLOWER)
    capsys.readouterr()
    stream = Stream()
    assert stream.ended(cli.run(["up", "--events"], stream), "") == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["type"] == "ended"
    assert "the one in use stays current" in last["problem"]
    assert "rollback" in last["hint"]


def test_flash_attn_beside_what_is_in_use_is_judged_likewise(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "only_adds", lambda session, resolution: True)  # noqa: ARG005 - its signature
    before = in_use(measuring)
    measuring.upgrade(**SLOWER)
    assert cli.run(["up"]) == 1
    assert in_use(measuring) == before


def test_nothing_is_built_upon_an_environment_with_regressions(measuring: Measuring) -> None:
    outcome = Outcome(
        resolution=measuring.place.wanted,
        built=Built(generation="g", steps=()),
        verdict="verified",
    )
    assert outcome.is_current
    assert not msgspec.structs.replace(outcome, regressions=("slower",)).is_current


def test_another_driver_leaves_nothing_to_be_measured_by(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = in_use(measuring)
    place = verified.report_path(measuring.place.prefix / str(before))
    report = json.loads(place.read_bytes())
    report["host"]["facts"] = {"driver": {"version": "580.65"}}
    place.write_text(json.dumps(report))
    monkeypatch.setattr(
        promised_checks, "record_facts", lambda *_: {"driver": {"version": "570.124"}}
    )
    measuring.upgrade(**SLOWER)
    assert cli.run(["up"]) == 0, "what ran with one driver may not run with another"
    assert in_use(measuring) != before


def test_the_settings_of_upgrades_are_no_part_of_what_is_wanted() -> None:
    host = Host({})
    one = load(None, "config.yaml", ["upgrade.threshold=0.5", "upgrade.compare=full"])
    assert resolution_cache.wish(host, one) == resolution_cache.wish(host, Settings())
    with pytest.raises(WrongSetting, match="not at least 0 and below 1"):
        load(None, "config.yaml", ["upgrade.threshold=10"])
