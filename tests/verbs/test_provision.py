"""`up` and `provision` with empty wheels: shown, built, refused, confirmed, kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from provision import cli
from provision.display import question
from provision.engine import resolution_cache
from provision.engine.resolution_cache import Resolution
from provision.errors import Interrupted, SourceFailed, StepFailed, WrongUsage
from provision.plan._model import Reasons, Unsupported
from provision.session import confirm, inputs, resolve, runs
from provision.steps.model import Lock, Pin
from tests.verbs.conftest import Place

pytestmark = pytest.mark.environment


def outcomes(document: str) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in json.loads(document)["steps"]}


def test_a_dry_run_tells_what_the_real_one_does_and_changes_nothing(
    place: Place, output_of: Callable[..., str]
) -> None:
    before = place.snapshot()
    shown = output_of("provision", "--dry-run")
    assert "which would be new" in shown.splitlines()[0]
    assert (
        "10-preflight: would run\n    need room for the environment and its wheels: 101 MB of disk space are needed, "
        in shown
    )
    assert "pip install" in shown
    assert set(outcomes(output_of("provision", "--dry-run", "--json")).values()) == {"would run"}
    assert place.snapshot() == before

    output_of("provision")
    (there,) = place.generations()
    before = place.snapshot()
    document = output_of("provision", "--dry-run", "--json")
    assert json.loads(document)["generation"] == str(place.prefix / there)
    assert set(outcomes(document).values()) == {"kept"}
    assert outcomes(output_of("provision", "--dry-run", "--json", "--only", "80")) == {
        "80-launchers": "would run"
    }
    assert list(outcomes(output_of("provision", "--dry-run", "--json", "--from", "80"))) == [
        "80-launchers",
        "90-lock",
    ]
    assert place.snapshot() == before

    next(place.prefix.glob("current/lib/python*/site-packages/sympy.py")).write_text(
        "VERSION = 'torn'"
    )
    before = place.snapshot()
    again = outcomes(output_of("provision", "--dry-run", "--json"))
    assert {step for step, outcome in again.items() if outcome == "would run"} == {"40-torch"}
    assert place.snapshot() == before, "what is torn stays, too"
    real = json.loads(output_of("provision", "--json"))
    assert {
        f"{item['number']}-{item['name']}" for item in real["steps"] if item["outcome"] == "done"
    } == {"40-torch"}


def test_a_dry_run_of_a_step_whose_ground_is_missing_says_so(place: Place) -> None:
    with pytest.raises(WrongUsage, match="builds on step 10-preflight"):
        cli.run(["provision", "--dry-run", "--only", "80"])
    with pytest.raises(WrongUsage, match="there is no step 55"):
        cli.run(["provision", "--dry-run", "--from", "55"])
    assert place.generations() == []


def test_what_preflight_refuses_leaves_the_prefix_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = msgspec.structs.replace(
        place.wanted, plan=msgspec.structs.replace(place.wanted.plan, disk_mb=10**9)
    )
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: huge)
    with pytest.raises(
        StepFailed,
        match="room for the environment and its wheels: 1100000100 MB of disk space are needed",
    ) as refused:
        cli.run(["up", "--upgrade", "--yes"])
    assert "prune" not in refused.value.hint, "there is nothing to prune"
    assert place.generations() == []
    assert resolution_cache.load(place.prefix) == place.wanted
    (log,) = place.folder.glob("logs/*/10-preflight.log")
    assert "room for the environment and its wheels: 1100000100 MB" in log.read_text()


@pytest.mark.parametrize(
    ("verb", "answer"), [("up", False), ("provision", False), ("provision", True)]
)
def test_news_are_shown_and_asked_about_at_a_terminal(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    answer: bool,
) -> None:
    (place.prefix / ".wanted.json").unlink()
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: place.wanted)
    monkeypatch.setattr(question, "has_person", lambda: True)
    monkeypatch.setattr(question, "agreed", lambda _: answer)
    if answer:
        assert cli.run([verb]) == 0
    else:
        with pytest.raises(Interrupted, match="nothing was installed or changed"):
            cli.run([verb])
    out, err = capsys.readouterr()
    assert "vllm" in out.splitlines()[0]
    assert "to download: about 0.1 GB in 5 wheels\n" in out
    assert "stdin is no terminal" not in err
    assert bool(place.generations()) is answer
    assert (resolution_cache.load(place.prefix) is not None) is answer


def test_what_is_stored_is_not_downloaded(place: Place) -> None:
    plan, lock, folder = place.wanted.plan, place.wanted.lock, place.folder / "wheels-of-test"
    sized = Lock(
        pins=tuple(
            msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, size=10**8))
            for pin in lock.pins
        )
    )
    assert confirm._download(folder, plan, sized) == "500.0 MB in 5 wheels"
    folder.mkdir()
    for pin, size in zip(sized.pins, (10**8, 10), strict=False):
        with (folder / pin.wheel.file).open("wb") as stream:
            stream.truncate(size)
    assert confirm._download(folder, plan, sized) == "400.0 MB in 4 wheels; 1 already here"


def test_without_a_terminal_the_first_line_says_that_nothing_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.prefix / ".wanted.json").unlink()
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: place.wanted)
    monkeypatch.setattr(question, "has_person", lambda: False)
    assert cli.run(["provision"]) == 0
    assert capsys.readouterr().err.startswith("stdin is no terminal: what is missing is installed")


def test_a_newer_tool_plans_anew_and_without_a_network_keeps_what_stands(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["up"]) == 0
    monkeypatch.setattr(resolution_cache, "tool", lambda: "9.9.9 of tomorrow")
    before = place.snapshot()
    silent = {"pypi", "pytorch", "vllm", "github"}
    argv = [
        word for name in silent for word in ("--set", f"sources.{name}=http://127.0.0.1:9/simple")
    ]
    with pytest.raises(SourceFailed):
        cli.run(["up", *argv])  # another wish: nothing stands for it

    def unreachable(_: object) -> Resolution:
        raise SourceFailed("no package source answers: connection refused")

    monkeypatch.setattr(resolve, "_resolve_again", unreachable)
    capsys.readouterr()
    assert cli.run(["up"]) == 0
    out, err = capsys.readouterr()
    assert "no package source answers: connection refused; the plan in use is kept" in err
    assert "nothing to do" in out
    with pytest.raises(SourceFailed):
        cli.run(["up", "--upgrade"])
    changed = {path for path, mark in place.snapshot().items() if before.get(path) != mark}
    assert {Path(path).name for path in changed} <= {".lock"}

    newer = msgspec.structs.replace(place.wanted, tool="9.9.9 of tomorrow")
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: newer)
    assert cli.run(["up"]) == 0
    assert "Not taken" not in capsys.readouterr().out, "the same packages are no news"
    assert resolution_cache.load(place.prefix) == newer
    assert len(place.generations()) == 1


def test_another_address_of_the_same_file_is_no_news(place: Place) -> None:
    def elsewhere(pin: Pin) -> Pin:
        signed = f"{pin.wheel.url}?signature=of-today"
        return msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, url=signed))

    last = place.wanted
    moved = msgspec.structs.replace(last, lock=Lock(pins=tuple(map(elsewhere, last.lock.pins))))
    fewer = msgspec.structs.replace(last, lock=Lock(pins=last.lock.pins[1:]))
    assert not resolve._is_news(moved, last)
    assert resolve._is_news(fewer, last)
    assert resolve._is_news(last, None)


def test_an_environment_without_pip_gets_it_only_with_its_next_upgrade(place: Place) -> None:
    last = place.wanted
    pip = msgspec.structs.replace(last.lock.pins[0], name="pip", version="26.1")
    with_pip = msgspec.structs.replace(last, lock=Lock(pins=(*last.lock.pins, pip)))
    assert resolve._without_new_installers(with_pip, last) == last
    newer = msgspec.structs.replace(last.lock.pins[0], version="9.9")
    upgraded = msgspec.structs.replace(last, lock=Lock(pins=(newer, *last.lock.pins[1:], pip)))
    assert resolve._without_new_installers(upgraded, last) == upgraded
    assert resolve._without_new_installers(last, with_pip) == last


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_checkout_that_lists_of_folders_would_take_apart_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path / name))
    with pytest.raises(WrongUsage, match="colon or comma") as refused:
        cli.run(["up", "--yes"])
    assert "--prefix DIR" in refused.value.hint


@pytest.mark.parametrize("verb", ["up", "provision"])
def test_where_there_is_no_plan_an_earlier_verdict_does_not_stand(
    place: Place,
    output_of: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    output_of("up")
    logs = place.folder / "logs"
    assert (logs / "summary.txt").read_text().startswith("VERIFIED")
    reasons = (Reasons(subject="vllm", reasons=("0.33.0 needs more", "0.6.0 needs a GPU")),)
    refused = Unsupported(unsupported=reasons, advice=("buy one",))
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: refused)
    assert cli.run([verb, "--set", "profile=cuda", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["unsupported"][0]["subject"] == "vllm", (
        "as `plan` says it"
    )
    summary = (logs / "summary.txt").read_text()
    assert summary.startswith("NOT PROVISIONED (exit code 3)\n")
    assert "problems     vllm: 0.6.0 needs a GPU" in summary
    assert "\nvllm_ready_verified 0\n" in (logs / "metrics.prom").read_text()
    page = runs.read(logs, None)
    assert (page.exit_code, page.plan, page.settings["profile"]) == (3, None, "cuda")
    assert page.notes["plan"][0] == "buy one"
    assert place.generations()[0] in page.notes["plan"][1]
    assert {path.name for path in (logs / page.run).iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
        "junit.xml",
    }
    index = (place.folder / "tasks" / "task-results" / "README.md").read_text()
    assert "* nothing was proved: this host has no plan\n* vllm: 0.6.0 needs a GPU" in index


def test_no_plan_for_a_host_elsewhere_is_no_verdict_on_this_one(
    place: Place, output_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output_of("up")
    described = place.folder / "host.yaml"
    described.write_text('{gpus: [], python: "3.12", glibc: "2.35", machine: x86_64}\n')
    refused = Unsupported(unsupported=(Reasons(subject="profile", reasons=("no GPU",)),), advice=())
    monkeypatch.setattr(resolve, "_resolve_again", lambda _: refused)
    before = place.snapshot()
    assert cli.run(["provision", "--host", str(described)]) == 3
    assert {path for path in place.snapshot().keys() - before.keys() if "/logs/" in path} == set()
    assert (place.folder / "logs" / "summary.txt").read_text().startswith("VERIFIED")
