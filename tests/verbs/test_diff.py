"""`diff` and `baseline`: the choice of runs, and errors for runs that cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from provision import cli
from provision.engine import resolution_cache, verified
from provision.errors import UnreadableInput, WrongUsage
from provision.session import inputs
from tests.report.runs import Document, document, figure, measured
from tests.verbs.conftest import Place

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "diff.json"
Output = Callable[..., str]


class Logs:
    """A folder of runs of this host, in order, unless a run says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, day: int, *, rate: float = 540.0, host: str | None = None, **changes: Any) -> str:
        run = f"202611{day:02}T000000Z-0000"
        of: Document = {**document(), "run": run, **changes}
        of["host"]["id"] = host or verified.host_id()
        attention = figure(of, "speed_attention", "GPU 0")
        attention.update(measured("speed_attention", "attention", attention["of"], rate, 0.01))
        path = self.folder / run / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(of))
        return run


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    return Logs(tmp_path / "logs")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    def run(*words: str) -> str:
        capsys.readouterr()
        assert cli.run(list(words)) == 0
        return capsys.readouterr().out

    return run


def heads(out: str) -> list[str]:
    return [line.split()[1] for line in out.splitlines()[:2]]


def test_the_newest_run_is_compared_with_the_last_verified_one(logs: Logs, output: Output) -> None:
    old = logs.add(1)
    logs.add(2, verdict="not verified", exit_code=1)
    logs.add(3, host="f" * 16)
    logs.add(4, promised=["shm"])
    logs.add(5, regressions=["slower"], exit_code=1)
    new = logs.add(6, rate=475.0)
    (logs.folder / "20261107T000000Z-dead").mkdir()
    out = output("diff")
    assert heads(out) == [old, new]
    assert "slower by 12 %: 540 -> 475 TFLOP/s" in out
    assert heads(output("diff", old)) == [old, new]
    assert heads(output("diff", new, old)) == [new, old], "in the given order"
    assert heads(
        output("diff", str(logs.folder / old), str(logs.folder / new / "report.json"))
    ) == [old, new]
    assert output("diff", "20261101", old, "--quiet") == "no change was recorded\n"


def test_the_document_matches_its_schema(logs: Logs, output: Output) -> None:
    logs.add(1)
    logs.add(2, rate=475.0)
    document_ = json.loads(output("diff", "--json"))
    jsonschema.validate(document_, json.loads(SCHEMA.read_text()))
    assert document_["schema"] == "vllm-ready/diff/1"
    assert [change["how"] for change in document_["groups"][0]["effects"]] == ["worse"]


def test_a_baseline_survives_its_run(logs: Logs, output: Output) -> None:
    assert "no baseline" in output("baseline")
    first, last = logs.add(1, rate=600.0), logs.add(2)
    assert output("baseline", "show").startswith(f"{last}, started")
    assert "not set" in output("baseline")
    assert output("baseline", "set", first).startswith(f"{first}, started")
    (logs.folder / first / "report.json").unlink()
    (logs.folder / first).rmdir()
    assert heads(output("diff")) == [first, last]
    document_ = json.loads(output("baseline", "show", "--json"))
    assert (document_["set"], document_["report"]["run"]) == (True, first)
    logs.add(3, promised=["shm"])
    assert output("baseline", "set").startswith(f"{last}, started"), (
        "the newest complete run, unless one is named"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"host": "f" * 16}, "is of another host"),
        ({"verdict": "undecided", "exit_code": 5}, "undecided, exit code 5"),
        ({"promised": ["shm"]}, "did not run all promised checks: attention_backend"),
        ({"checks": []}, "contents do not support that: matmul was not tried"),
    ],
    ids=["another host", "undecided", "a part", "unsupported by its contents"],
)
def test_an_unfit_baseline_is_refused(logs: Logs, changes: dict[str, Any], why: str) -> None:
    run = logs.add(1, **changes)
    with pytest.raises(WrongUsage, match=why) as refused:
        cli.run(["baseline", "set", run])
    assert run in str(refused.value)
    assert not list(logs.folder.glob("baseline-*"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"schema": "vllm-ready/report/1", "run"', "is truncated"),
        (json.dumps({**document(), "schema": "vllm-ready/report/2"}), "newer vllm-ready"),
        ("[" * 10_000, "is "),
        ("{}", "not a report"),
        ("x" * (65 * 1024 * 1024), "larger than"),
    ],
    ids=["cut off", "newer", "deep", "something else", "huge"],
)
def test_an_unreadable_report_is_named(
    logs: Logs, tmp_path: Path, content: str, problem: str
) -> None:
    logs.add(1)
    path = tmp_path / "given.json"
    path.write_text(content)
    with pytest.raises(UnreadableInput, match=problem):
        cli.run(["diff", str(path)])
    (logs.folder / f"baseline-{verified.host_id()}.json").write_text(content)
    with pytest.raises(UnreadableInput, match=problem):
        cli.run(["diff"])


def test_an_older_report_can_still_be_compared(logs: Logs, output: Output, tmp_path: Path) -> None:
    logs.add(1)
    old = document()
    for field in ("promised", "packages", "gpus", "seconds", "tool"):
        del old[field]
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**old, "figures": {}}))
    out = output("diff", str(path))
    assert "the two runs are of different hosts" in out
    assert "no change was recorded" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("diff", "1", "2", "3"), "not 3"),
        (("diff",), "no run yet"),
        (("baseline", "set"), "no run yet"),
        (("baseline", "show", "x"), "is not expected here"),
        (("baseline", "st"), "invalid action"),
        (("diff", "20261101"), "no run and no file `20261101`"),
    ],
)
def test_wrong_arguments_are_refused(logs: Logs, words: tuple[str, ...], why: str) -> None:
    assert not logs.folder.exists()
    with pytest.raises(WrongUsage, match=why):
        cli.run(list(words))


def test_a_single_run_has_no_counterpart(logs: Logs) -> None:
    logs.add(1)
    with pytest.raises(WrongUsage, match="no earlier verified run"):
        cli.run(["diff"])


def test_up_and_check_record_the_same_facts(place: Place, output: Output) -> None:
    plan = msgspec.structs.replace(place.wanted.plan, checks=("disk_left",))
    resolution_cache.save(place.prefix, msgspec.structs.replace(place.wanted, plan=plan))
    output("up", "--yes")
    output("check")
    assert "no change was recorded" in output("diff")


def test_a_damaged_report_does_not_hide_the_baseline(logs: Logs, output: Output) -> None:
    first = logs.add(1)
    spoilt = logs.folder / "20261102T000000Z-0000" / "report.json"
    spoilt.parent.mkdir()
    spoilt.write_text('{"schema": "vllm-ready/report/1", "checks": 5}')
    assert output("baseline", "show").startswith(f"{first}, started")
