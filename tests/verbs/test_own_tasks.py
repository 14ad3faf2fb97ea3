"""The user's tasks in a small environment: once each, resumed after a kill, with pages."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from provision.engine import environments, resolution_cache, user_tasks, verified
from provision.engine.bring_up import Built, Workplace
from provision.engine.journal import Journal
from provision.events import ignore
from provision.session import run_tasks
from provision.session._model import Outcome, Session
from provision.settings import Settings
from provision.steps.model import Site
from provision.tasks import Task
from tests.faults import small_up
from tests.faults.small_up import PLAN, Small
from tests.patience import started, until

pytestmark = pytest.mark.environment

TASKS = {
    "85-models": """\
title: Models
why: people ask for them
commands:
- python -c 'import os, sys; print(sys.prefix, os.environ["HF_HOME"], os.environ["MINE"], os.getcwd())'
- bash -c 'echo once >> ran-85'
checks: [record_whole]
environment: {MINE: 1.10}
if_it_fails: ask Ann
""",
    "15-last": "title: Last\ncommands: [\"bash -c 'echo once >> ran-15'\"]\nafter: [85-models]\n",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A small environment that is current and verified."""
    folder = tmp_path_factory.mktemp("tasks")
    small = Small(folder=folder, wheels=folder / "wheels", lock=small_up.locked(folder))
    small.wish()
    code, _, err = small.run("up", "--yes")
    assert code == 0, err
    return small


@pytest.fixture
def small(built: Small) -> Small:
    """With no task done in it yet."""
    subprocess.run(
        [
            "rm",
            "-rf",
            str(built.current / environments.STATE / "tasks"),
            str(built.folder / "tasks"),
        ],
        check=True,
    )
    for path in built.folder.glob("ran-*"):
        path.unlink()
    return built


def write(small: Small, **more: str) -> None:
    (small.folder / "tasks").mkdir(exist_ok=True)
    for name, text in {
        **TASKS,
        **{name.strip("_").replace("_", "-"): text for name, text in more.items()},
    }.items():
        (small.folder / "tasks" / f"{name}.yaml").write_text(text)


def ran(small: Small, number: int) -> int:
    path = small.folder / f"ran-{number}"
    return len(path.read_text().splitlines()) if path.exists() else 0


def page(small: Small, name: str) -> str:
    return (small.folder / "tasks" / "task-results" / f"{name}.md").read_text()


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()


def test_each_is_done_once_as_if_the_environment_were_active(small: Small) -> None:
    write(small)
    code, out, err = small.run("up", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert [step["number"] for step in report["steps"]] == [*range(10, 100, 10), 85, 15]
    assert [step["outcome"] for step in report["steps"]][-2:] == ["done", "done"]
    assert (report["verdict"], report["promised"]) == ("verified", [*PLAN.checks])
    (log,) = small.folder.glob(f"logs/{report['run']}/85-models.log")
    assert (
        f"{small.current} {small.prefix}/cache/huggingface 1.10 {small.folder}\n" in log.read_text()
    )
    code, out, _ = small.run("up")
    assert code == 0
    assert "nothing to do" in out
    assert (ran(small, 85), ran(small, 15)) == (1, 1)

    write(small, _85_models=TASKS["85-models"].replace("people", "others"))
    assert "nothing to do" in small.run("up")[1], "other words make no other task"
    write(small, _85_models=TASKS["85-models"].replace("1.10", "1.11"))
    assert small.run("up")[0] == 0
    assert (ran(small, 85), ran(small, 15)) == (2, 2), "what comes after it is another one, too"
    assert small.run("provision", "--only", "85")[0] == 0
    assert (ran(small, 85), ran(small, 15)) == (3, 2)
    assert small.run("provision", "--from", "85")[0] == 0
    assert (ran(small, 85), ran(small, 15)) == (4, 3)


def test_a_task_changes_nothing_that_is_known_of_the_environment(small: Small) -> None:
    """The verdict, the metrics, the baseline and the report stay, however the task ends."""
    assert small.run("check")[0] == 0
    metrics, baseline = known(small)
    for commands, code in (("['true']", 0), ("['false']", 4)):
        write(small, _86_new=f"title: New\ncommands: {commands}\n")
        for argv in (("up",), ("provision", "--only", "86")):
            ended, out, _ = small.run(*argv, "--json")
            report = json.loads(out)
            assert (ended, report["exit_code"], report["verdict"]) == (code, code, "verified")
            assert report["tasks"][-1]["name"] == "86-new"
            assert {check["name"] for check in report["checks"]} == {*PLAN.checks}
            assert known(small) == (metrics, baseline)
            shown = small.run("report")[1]
            assert "do not support" not in shown
            headline = "TASK 86-NEW FAILED; THE ENVIRONMENT IS VERIFIED" if code else "VERIFIED"
            assert shown.splitlines()[0] == f"{headline} (exit code {code})"
    write(small, _86_new="title: New\ncommands: ['true']\n")
    assert small.run("up")[0] == 0


def known(small: Small) -> tuple[list[str], str]:
    """Return what is known of the environment: its metric and the baseline's figures."""
    metrics = (small.logs / "metrics.prom").read_text().splitlines()
    baseline = json.loads(small.run("baseline", "--json")[1])["report"]
    return [line for line in metrics if line.startswith("vllm_ready_verified")], baseline["verdict"]


def test_an_error_in_a_file_is_reported_before_anything_is_changed(small: Small) -> None:
    write(small, _86_bad="title: x\ncommands: ['a | b']\n")
    before = {path: path.lstat().st_mtime_ns for path in small.folder.rglob("*")}
    for argv in (["up"], ["up", "--upgrade"], ["provision"], ["tasks"]):
        code, _, err = small.run(*argv)
        assert (code, err.splitlines()[0]) == (
            2,
            "error: tasks/86-bad.yaml:2: commands[0]: `|` would be passed on literally",
        )
    assert {path: path.lstat().st_mtime_ns for path in small.folder.rglob("*")} == before


def test_a_command_that_fails_ends_the_run_and_the_same_command_goes_on(small: Small) -> None:
    bad = "title: Bad\ncommands: [\"bash -c 'echo $HF_TOKEN no such model; exit 3'\"]\n"
    write(
        small,
        _84_first="title: First\ncommands: [\"bash -c 'echo once >> ran-84'\"]\n",
        _86_bad=bad,
    )
    write(small, _87_later="title: Later\ncommands: [\"bash -c 'echo once >> ran-87'\"]\n")
    code, out, err = small.run("up", "--json", env={"HF_TOKEN": "hf_CanaryCanaryCanary12"})
    report = json.loads(out)
    assert (code, report["exit_code"], report["verdict"]) == (4, 4, "verified")
    assert err.startswith("error: task 86-bad: bash: ended with status 3\n")
    assert "the same command resumes" in err
    assert "*** no such model" in err
    assert "Canary" not in err + out
    outcomes = {step["number"]: step["outcome"] for step in report["steps"]}
    assert (outcomes[84], outcomes[85], outcomes[86]) == ("done", "done", "failed")
    assert ran(small, 87) == 0, "the rest waits"
    text = page(small, "86-bad")
    assert "**FAILED**" in text
    assert "no such model" in section(text, "What went wrong")
    assert (
        section(page(small, "README"), "What was not proved").splitlines()[0] == "* 86 Bad: FAILED"
    )
    assert small.run("check")[0] == 0, "the environment is current, and verified"
    text, index = page(small, "86-bad"), page(small, "README")
    assert "**FAILED in an earlier run**" in text
    assert f"logs/{report['run']}/86-bad.log" in section(text, "What went wrong")
    assert "not reached" not in text
    assert "**not done**" in page(small, "87-later")
    assert (
        section(index, "What was not proved").splitlines()[0]
        == "* 86 Bad: FAILED in an earlier run"
    )

    write(small, _86_bad="title: Bad\ncommands: ['true']\n")
    assert small.run("up")[0] == 0
    assert [ran(small, number) for number in (84, 85, 87, 15)] == [1, 1, 1, 1], (
        "what was done is not done again"
    )


def test_a_check_that_fails_is_a_task_that_fails(small: Small) -> None:
    torn = "title: Tear\ncommands: [\"bash -c 'echo torn >> $VIRTUAL_ENV/env.sh'\"]\nchecks: [vllm_serves]\n"
    write(small, _84_tear=torn)
    code, out, _ = small.run("up", "--json")
    report = json.loads(out)
    assert report["verdict"] == "verified"
    (task,) = report["tasks"]
    assert (task["name"], task["outcome"]) == ("84-tear", "failed")
    (check,) = task["checks"]
    assert code == {"fail": 1, "skip": 5, "error": 5}[check["outcome"]]
    assert report["steps"][-1]["problem"].startswith("vllm_serves ")
    assert ran(small, 85) == 0
    subprocess.run(["sed", "-i", "/^torn$/d", str(small.current / "env.sh")], check=True)


def test_after_a_task_that_breaks_a_promise_everything_is_verified_again(small: Small) -> None:
    tear = f"echo torn >> {small.packages}/sympy.py"
    write(
        small, _84_tear=f"title: Tear\ncommands: [[bash, -c, '{tear}']]\nchecks: [record_whole]\n"
    )
    code, out, _ = small.run("up", "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "verified"), "a task is no proof"
    assert verified.read_report(small.current) is None
    (small.folder / "tasks" / "84-tear.yaml").unlink()
    code, out, err = small.run("up", "--json")
    assert code == 0, err
    outcomes = {step["number"]: step["outcome"] for step in json.loads(out)["steps"]}
    assert (outcomes[40], outcomes[85]) == ("done", "done"), (
        "it is repaired, verified, and the tasks go on"
    )
    assert "sympy is damaged and is installed again" in section(
        page(small, "README"), "Notes of the run"
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_task_runs_again_and_a_done_one_does_not(
    small: Small, number: signal.Signals
) -> None:
    wait = "title: Wait\ncommands: [\"bash -c 'echo once >> ran-86; [ -e go ] || exec sleep 600'\"]\nafter: [85-models]\n"
    write(small, _86_wait=wait)
    with started(small.argv("up"), env=small.environment, stdout=-1, stderr=-1) as child:
        until(lambda: ran(small, 86))
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert child.returncode == 130
        assert "current and verified; the same command continues with your tasks" in err
        assert "**interrupted**" in page(small, "86-wait")
    until(lambda: not sleeping(small))
    (small.folder / "go").touch()
    listed = {
        load["number"]: load["outcome"] for load in json.loads(small.run("tasks", "--json")[1])
    }
    assert (listed[85], listed[86]) == ("done", "interrupted")
    assert small.run("check")[0] == 0
    assert "**interrupted in an earlier run**" in page(small, "86-wait")
    code, _, err = small.run("up")
    (small.folder / "go").unlink()
    assert code == 0, err
    assert (ran(small, 85), ran(small, 86), ran(small, 15)) == (1, 2, 1)


def sleeping(small: Small) -> list[str]:
    result = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (
                os.readlink(path / "cwd") == str(small.folder)
                and b"sleep" in (path / "cmdline").read_bytes()
            ):
                result.append(path.name)
        except OSError:
            continue
    return result


def test_another_run_that_changes_the_prefix_keeps_out_of_the_way_of_a_task(small: Small) -> None:
    write(
        small,
        _86_wait="title: Wait\ncommands: [\"bash -c 'echo once >> ran-86; exec sleep 600'\"]\n",
    )
    with started(small.argv("up"), env=small.environment, stdout=-1, stderr=-1) as child:
        until(lambda: ran(small, 86))
        assert small.run("provision")[0] == 6
        child.terminate()
        child.communicate(timeout=60)


def test_a_service_of_a_task_does_not_hold_the_lock(small: Small) -> None:
    """A service that was started must not hold the prefix's lock for as long as it runs."""
    write(
        small,
        _86_serve="title: Serve\ncommands: [\"bash -c 'sleep 600 >/dev/null 2>&1 & echo $! > pid'\"]\n",
    )
    try:
        assert small.run("up")[0] == 0
        assert small.run("provision")[0] == 0
    finally:
        os.kill(int((small.folder / "pid").read_text()), signal.SIGKILL)


def test_pages_show_request_work_and_proof_of_kept_tasks(small: Small) -> None:
    write(small)
    assert small.run("up")[0] == 0
    own, torch, index = page(small, "85-models"), page(small, "40-torch"), page(small, "README")
    assert section(own, "Purpose and settings") == "people ask for them"
    assert section(own, "What was done").splitlines()[-1].strip() == "bash -c 'echo once >> ran-85'"
    assert "record_whole: pass." in section(own, "What proves it")
    assert section(own, "If it fails") == "ask Ann"
    assert "serve MODEL" in section(page(small, "15-last"), "What comes next")
    assert "$ENV/bin/python" in section(torch, "What was done"), "kept, and its commands too"
    assert "torch 2.0+cpu" in section(torch, "What it installed")
    assert "kept from an earlier run" in section(torch, "What deviates from the plan")
    assert "distributions_as_locked: pass." in section(page(small, "90-lock"), "What proves it"), (
        "proved before"
    )
    assert (
        "| [90](90-lock.md) | Plan and lock | kept from an earlier run | 2 passed, 1 not tried |"
        in index
    )
    assert "Nothing: every promised check passed or warned." in index

    assert small.run("check")[0] == 0
    again = page(small, "40-torch")
    assert "done in an earlier run, still in place" in again
    assert section(again, "What was done") == section(torch, "What was done")
    for name in ("README", "40-torch", "85-models"):
        text = page(small, name)
        stable, _, changing = text.partition("\n## When and where\n")
        assert small.current.name not in stable
        assert small.current.name in changing


def test_tasks_are_listed_with_how_they_ended(small: Small) -> None:
    write(small, _86_bad="title: Bad\ncommands: ['false']\n")
    assert small.run("up")[0] == 4
    code, out, _ = small.run("tasks", "--json")
    assert code == 0
    listed: dict[int, dict[str, Any]] = {load["number"]: load for load in json.loads(out)}
    assert list(listed) == [*range(10, 100, 10), 85, 15, 86] or list(listed) == [
        *range(10, 100, 10),
        85,
        86,
        15,
    ]
    assert (listed[85]["outcome"], listed[86]["outcome"]) == ("done", "failed")
    assert "record_whole" in listed[90]["checks"]
    assert listed[85]["checks"] == ["record_whole"]
    assert listed[85]["tried"] == {"record_whole": "pass"}
    assert "dependencies_consistent" not in listed[90]["tried"], "nobody has tried it"
    shown = small.run("tasks")[1].partition("90 Plan and lock")[2].partition("85 ")[0]
    assert (
        "   pass: distributions_as_locked, record_whole\n   not run: dependencies_consistent"
        in shown
    )
    assert all(
        item["when"].endswith("Z") and item["current"]
        for item in listed.values()
        if item["outcome"] != "not yet"
    )
    assert small.run("check")[0] == small.run("check", "record_whole")[0] == 0
    place = verified.report_path(small.current)
    proof = place.read_bytes()
    place.unlink()
    listed = {load["number"]: load for load in json.loads(small.run("tasks", "--json")[1])}
    assert set(listed[90]["tried"]) == {"distributions_as_locked", "record_whole"}, (
        "a part hides no whole"
    )
    place.write_bytes(proof)
    assert small.run("tasks", "--set", "tasks=nowhere")[0] == 0


def test_a_dry_run_shows_them(small: Small) -> None:
    write(small)

    def actions(*argv: str) -> Any:
        return json.loads(small.run("provision", "--dry-run", "--json", *argv)[1])["steps"]

    assert [action["outcome"] for action in actions()] == ["kept"] * 9 + ["would run"] * 2
    assert [action["step"] for action in actions("--only", "85")] == ["85-models"]
    assert actions("--only", "85")[0]["actions"][1]["argv"] == ["bash", "-c", "echo once >> ran-85"]
    assert ran(small, 85) == 0


def test_a_report_carries_no_home_no_user_and_no_secret(small: Small) -> None:
    home = small.folder / "home" / "miriamcanary"
    home.mkdir(parents=True, exist_ok=True)
    say = f"ls {home}/x --api-key=canarysecret https://joe:canarypass@h.example/ || true"
    write(small, _86_say=f"title: Say\ncommands: [[bash, -c, '{say}']]\n")
    env = {"HOME": str(home), "USER": "miriamcanary", "LOGNAME": "miriamcanary"}
    code, out, _ = small.run("provision", "--only", "86", "--json", env=env)
    assert code == 0
    report = json.loads(out)
    assert report["commands"]["86-say"] == [
        "bash -c 'ls ~/x --api-key=*** https://***@h.example/ || true'",
    ]
    (kept,) = small.folder.glob(f"logs/{report['run']}/report.json")
    assert not [
        word for word in ("canary", "joe") if word in kept.read_text() + page(small, "86-say")
    ]


def test_a_disk_that_is_full_is_a_sentence(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    known = resolution_cache.load(small.prefix)
    assert known
    site = Site(
        generation=str(small.current),
        prefix=str(small.prefix),
        uv="",
        host_python="",
        logs=str(small.logs / "r"),
    )
    workplace = Workplace(site=site, environment={})
    monkeypatch.setattr(Journal, "append", full)
    task = Task(number=85, name="a", title="x", commands=(("true",),))
    ran = user_tasks.Tasks(known, workplace, small.folder, {}, ignore).carry_out([task])
    assert str(ran.failure).startswith(
        "error: task 85-a: its journal cannot be written: No space left on device"
    )
    assert [result.outcome for result in ran.results] == ["failed"]


def test_an_environment_that_is_not_in_use_runs_no_tasks(small: Small) -> None:
    known = resolution_cache.load(small.prefix)
    assert known
    task = Task(number=85, name="a", title="x", commands=(("true",),))
    session = Session(
        settings=Settings(tasks=str(small.folder / "tasks")),
        prefix=str(small.prefix),
        logs=str(small.logs / "20261020T060000Z-0000"),
        run="20261020T060000Z-0000",
        say=print,
        options=Namespace(quiet=True, json=False, stream=None),
        tasks=(task,),
    )
    built = Built(generation=str(small.prefix / "another"), steps=())
    outcome = Outcome(resolution=known, built=built, verdict="verified")
    assert run_tasks.carry_out(session, outcome) == (outcome, None)


def test_another_definition_is_another_task() -> None:
    one = Task(number=85, name="a", title="x", commands=(("a",),))
    two = Task(number=86, name="b", title="x", commands=(("a",),), after=("85-a",))

    def links(first: Task) -> list[str]:
        return list(user_tasks.fingerprints([first, two]).values())

    same = Task(number=85, name="a", title="other words", why="y", timeout=1, commands=(("a",),))
    other = Task(number=85, name="a", title="x", commands=(("b",),))
    assert links(same) == links(one)
    assert not set(links(other)) & set(links(one))
