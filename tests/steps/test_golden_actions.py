"""The exact actions of every recorded host: one host in full, the others as differences.

`tests/actions/base.txt` has one action a line, with its step and its place in it; a text of more
than a few lines is in `texts/`. `HOST.txt` has one line for each action that differs from the base:
the fields that differ, or null for an action that the host does not have.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.steps.model import Action, Write
from provision.steps.step_90_lock import as_built
from tests.steps.planned import PLANNED, SITE, STEPS, TESTS, lock_of

BASE = "h100-550"
GOLDEN = TESTS / "actions"
SHORT = 3  # lines of a text that is written into the action's own line
Actions = dict[str, dict[str, Any]]  # "40-torch.2", the second action of step 40 -> its fields


@cache
def actions_of(host: str) -> Actions:
    """Return every action of a host; the plan and the lock stand for their long texts."""
    plan = PLANNED[host]
    lock = lock_of(plan)
    stand_ins = {
        lock.text: "the lock",
        as_json(as_built(plan, lock)): "the plan",
        as_json(lock): "the lock as data",
    }
    return {
        f"{step.label}.{number}": fields(action, stand_ins)
        for step in STEPS
        for number, action in enumerate(step.actions(plan, lock, SITE), start=1)
    }


def fields(action: Action, stand_ins: dict[str, str]) -> dict[str, Any]:
    """Return an action as JSON. A script counts by its file name, as it does in a fingerprint."""
    text = json.dumps(msgspec.to_builtins(action))
    folder = rf"{re.escape(str(TESTS.parent))}/provision/\w+/"
    built: dict[str, Any] = json.loads(re.sub(folder, "/opt/vllm-ready/provision/", text))
    if isinstance(action, Write):
        built["text"] = stand_ins.get(action.text) or action.text.splitlines()
    return built


def as_json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


def base_files() -> dict[str, str]:
    """Return the golden files of the base: its actions, and each long text in a file of its own."""
    lines, files = [], {}
    for key, action in actions_of(BASE).items():
        if is_long(action.get("text")):
            name = f"texts/{Path(action['path']).name}.txt"
            assert name not in files, "two texts of one name"
            files[name] = "\n".join(action["text"]) + "\n"
            lines.append(line(key, {**action, "text": name}))
        else:
            lines.append(line(key, action))
    return {"base.txt": "\n".join(lines) + "\n", **files}


def is_long(text: object) -> bool:
    return isinstance(text, list) and len(text) > SHORT


def differences(host: str) -> str:
    """Return the lines that make a host's actions out of those of the base."""
    base, own = actions_of(BASE), actions_of(host)
    lines = []
    for key in sorted(base.keys() | own.keys(), key=in_order):
        if key not in own:
            lines.append(line(key, None))
        elif key not in base:
            lines.append(line(key, own[key]))
        elif own[key] != base[key]:
            lines.append(line(key, changed_fields(base[key], own[key])))
    return "".join(f"{text}\n" for text in lines)


def in_order(key: str) -> tuple[str, int]:
    step, _, number = key.rpartition(".")
    return step, int(number)


def changed_fields(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the different fields of an action; null for a field that it does not have."""
    changed = {name: own.get(name) for name in {**base, **own} if base.get(name) != own.get(name)}
    if is_long(base.get("text")) and isinstance(changed.get("text"), list):
        diff = difflib.unified_diff(base["text"], own["text"], n=0, lineterm="")
        changed["text"] = [row for row in diff if not row.startswith(("---", "+++"))]
    return changed


def line(key: str, value: object) -> str:
    return f"{key} {json.dumps(value, ensure_ascii=False)}"


def assert_as_recorded(name: str, text: str, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / name
    if request.config.getoption("--renew-golden"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    hint = "read the difference; if it is right: pytest --renew-golden"
    assert text == golden.read_text(), hint


@pytest.mark.parametrize("name", base_files())
def test_actions_of_the_base_are_as_recorded(name: str, request: pytest.FixtureRequest) -> None:
    assert_as_recorded(name, base_files()[name], request)


@pytest.mark.parametrize("host", sorted(PLANNED.keys() - {BASE}))
def test_differences_of_a_host_are_as_recorded(host: str, request: pytest.FixtureRequest) -> None:
    assert_as_recorded(f"{host}.txt", differences(host), request)


def test_no_golden_file_is_left_over() -> None:
    expected = {*base_files(), *(f"{host}.txt" for host in PLANNED.keys() - {BASE})}
    files = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()}
    assert files == expected


@pytest.mark.parametrize("change", ["added", "removed", "swapped", "altered"])
def test_a_change_to_one_action_of_one_host_is_noticed(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = differences("cpu")
    real = actions_of("cpu")
    actions = dict(real)
    if change == "added":
        actions["30-python.4"] = {"type": "run", "title": "something else"}
    elif change == "removed":
        del actions["80-launchers.5"]
    elif change == "swapped":
        first, second = actions["80-launchers.1"], actions["80-launchers.2"]
        actions |= {"80-launchers.1": second, "80-launchers.2": first}
    else:
        actions["80-launchers.3"] = {**actions["80-launchers.3"], "mode": 0o644}
    base = actions_of(BASE)
    monkeypatch.setitem(globals(), "actions_of", {"cpu": actions, BASE: base}.__getitem__)
    assert differences("cpu") != before
