"""`watch`: quiet and cheap without a change, one check for a change, repeated while one fails."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from provision import cli
from provision.engine import environments, locks, verified
from provision.errors import Locked, WrongUsage
from provision.session import runs
from tests.verbs.conftest import Place
from tests.verbs.measuring import Measuring

pytestmark = pytest.mark.environment

QUIET = "nothing changed since this host was verified\n"


@pytest.fixture
def measuring(place: Place, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    made = Measuring(place, monkeypatch)
    assert cli.run(["up", "--quiet"]) == 0
    made.tried()
    return made


def watched(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.run(["watch", *words])
    return code, capsys.readouterr().out


def file_of(measuring: Measuring) -> Path:
    return next(measuring.place.prefix.glob("current/lib/python*/site-packages/sympy.py"))


def test_nothing_changed_is_one_line_and_writes_nothing(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    before = measuring.place.snapshot()
    for _ in range(2):
        assert watched(capsys) == (0, QUIET)
    assert json.loads(watched(capsys, "--json")[1])["changed"] == []
    assert measuring.place.snapshot() == before
    assert measuring.tried() == []


def test_a_change_is_looked_at_once(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    file_of(measuring).write_text("VERSION = 'another'")
    code, out = watched(capsys)
    assert code == 0
    assert "checked because: 1 file changed: sympy.py" in out
    assert measuring.tried() == ["glance 2.2"], "only what disturbs nobody"
    run = runs.ids(measuring.place.folder / "logs")[0]
    for words, begins in {
        (): "VERIFIED (exit code 0): 1 of the 2 promised checks\n",
        ("--format", "markdown"): "# Verified (exit code 0): 1 of the 2 promised checks\n",
    }.items():
        capsys.readouterr()
        assert cli.run(["report", run, *words]) == 0
        assert capsys.readouterr().out.startswith(begins)
    assert cli.run(["report"]) == 0
    out, err = capsys.readouterr()
    assert "of the 2 promised checks" not in out
    assert (
        f"1 newer run is not shown (interrupted, or about a part of the environment or something else); the newest is {run}"
        in err
    )
    assert cli.run(["report", run, "--format", "prometheus"]) == 0
    assert "vllm_ready_verified 0\n" in capsys.readouterr().out.replace("{", " {").replace(
        "  ", " "
    )
    assert "promised" not in (measuring.place.folder / "logs" / "summary.txt").read_text(), (
        "no news of the whole"
    )
    assert watched(capsys) == (0, QUIET)
    assert measuring.tried() == []


def test_another_kernel_is_named(measuring: Measuring, capsys: pytest.CaptureFixture[str]) -> None:
    place = verified.report_path((measuring.place.prefix / environments.CURRENT).resolve())
    report = json.loads(place.read_bytes())
    report["host"]["facts"] = {
        "kernel": "5.4.0-old",
        "driver": {"type": "Missing", "why": "absent"},
    }
    place.write_text(json.dumps(report))
    code, out = watched(capsys)
    assert code == 0
    assert out.startswith("checked because: kernel 5.4.0-old -> ")
    assert watched(capsys) == (0, QUIET)


def test_a_package_of_somebody_else_is_a_change(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    (file_of(measuring).parent / "strange-1.0.dist-info").mkdir()
    assert "strange none -> 1.0" in watched(capsys)[1]
    assert watched(capsys) == (0, QUIET)


def test_what_is_well_again_once_it_is_its_turn_is_not_looked_at(
    measuring: Measuring, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = file_of(measuring).parent / "strange-1.0.dist-info"
    strange.mkdir()
    hold = locks.hold

    def after_another_run(
        prefix: Path, verb: str, *, only_look: bool
    ) -> AbstractContextManager[int]:
        strange.rmdir()
        return hold(prefix, verb, only_look=only_look)

    monkeypatch.setattr(locks, "hold", after_another_run)
    assert watched(capsys) == (0, QUIET)
    assert measuring.tried() == []


def test_what_is_wrong_is_looked_at_each_time_until_it_is_well(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring.say("2.2", outcome="fail")
    assert watched(capsys) == (0, QUIET), "that nobody has asked for"
    for reason in ("asked for with --always", "ended with exit code 1"):
        code, out = watched(capsys, *(["--always"] if "always" in reason else []))
        assert code == 1
        assert reason in out
        assert "glance: pass -> fail (fail)" in out
        assert measuring.tried() == ["glance 2.2"]
    measuring.say("2.2")
    code, out = watched(capsys)
    assert (code, measuring.tried()) == (0, ["glance 2.2"])
    assert watched(capsys) == (0, QUIET)


def test_a_run_that_verifies_outdates_the_last_look(
    measuring: Measuring, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring.say("2.2", outcome="fail")
    assert watched(capsys, "--always")[0] == 1
    measuring.say("2.2")
    assert cli.run(["up", "--quiet"]) == 0
    measuring.tried()
    assert watched(capsys) == (0, QUIET)


def test_quick_is_deeper(measuring: Measuring, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = watched(capsys, "--always", "--profile", "quick", "--json")
    document = json.loads(out)
    assert (code, document["exit_code"]) == (0, 0)
    assert document["diff"]["schema"] == "vllm-ready/diff/1"
    assert document["diff"]["groups"] == []
    assert (measuring.place.folder / "logs" / document["run"] / "report.json").is_file()
    assert measuring.tried() == ["glance 2.2", "quick 2.2"]


def test_without_an_environment_and_beside_a_run_that_changes_it(
    measuring: Measuring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WrongUsage, match="no current environment to watch"):
        cli.run(["watch", "--prefix", str(tmp_path / "none")])
    with locks.hold(measuring.place.prefix, "up"):
        assert watched(capsys) == (0, QUIET)
        with pytest.raises(Locked):
            watched(capsys, "--always")
