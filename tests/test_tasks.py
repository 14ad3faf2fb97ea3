"""Parsing task files: every error names its line, and the tasks are sorted."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from provision import tasks
from provision.engine import discover_steps, discover_tasks
from provision.errors import UnreadableInput
from provision.tasks import Task

ROOT = Path(__file__).parents[1]
STEPS = {10: "preflight", 50: "vllm"}
CHECKS = ("record_whole", "vllm_serves")
OURS = {"tasks/50-vllm.yaml": "title: vLLM\nstep: 50\n"}


def read(**files: str) -> tuple[Task, ...]:
    """Return the tasks of files that are given by name, with _ for - and without .yaml."""
    texts = {
        f"tasks/{name.strip('_').replace('_', '-')}.yaml": text for name, text in files.items()
    }
    return tasks.read({**OURS, **texts}, STEPS, CHECKS, {61: "toolkit"})


def refused(text: str, name: str = "_85_models", **more: str) -> str:
    with pytest.raises(UnreadableInput) as failure:
        read(**{name: text}, **more)
    assert failure.value.exit_code == 2
    assert failure.value.hint
    return str(failure.value)


def test_steps_and_shipped_tasks_correspond() -> None:
    by_label = {task.label: task for task in discover_tasks.discover()}
    assert list(by_label) == [step.label for step in discover_steps.discover()]
    for task in by_label.values():
        assert task.is_step
        assert all((task.why, task.if_it_fails, task.undo))


def test_a_user_task() -> None:
    text = """\
title: Our models
why: people ask for them
commands:
- hf download "org/model one" --revision 'a b'
- [bash, -c, "ls | wc -l > $HOME/x"]
checks: [vllm_serves]
after: [50-vllm]
environment: {PORT: 8000, VERSION: 1.10, ON: true, TEXT: "a b"}
timeout: 60
if_it_fails: look at the log
undo: delete them
"""
    step_task, user_task = read(_85_our_models=text)
    assert (step_task.label, step_task.is_step, user_task.label, user_task.is_step) == (
        "50-vllm",
        True,
        "85-our-models",
        False,
    )
    assert user_task.commands == (
        ("hf", "download", "org/model one", "--revision", "a b"),
        ("bash", "-c", "ls | wc -l > $HOME/x"),
    )
    assert user_task.environment == {"PORT": "8000", "VERSION": "1.10", "ON": "true", "TEXT": "a b"}
    assert (user_task.checks, user_task.after, user_task.timeout) == (
        ("vllm_serves",),
        ("50-vllm",),
        60,
    )


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("", 1, "is empty", "title:"),
        ("# nothing\n", 1, "is empty", "title:"),
        ("title: x\n", 1, "does nothing", "commands"),
        ("commands: [a]\n", 1, "`title` is missing", "add title"),
        ("title: ' '\ncommands: [a]", 1, "title: is empty", "what it is"),
        ("title: x\ncommand: [a]", 2, "there is no `command` here", "did you mean `commands`?"),
        ("title: x\ncommands: [a]\ntitle: y", 3, "`title` appears twice", "keep one"),
        ("title: x\ncommands: a", 2, "commands: `a` does not fit here", "write commands: [a]"),
        ("title: x\ncommands: [7]", 2, "commands[0]: YAML reads 7 as a number", 'write "7"'),
        ("title: x\ncommands:\n- a\n- {b: c}", 4, "commands[1]", "text or a list"),
        ("title: x\ncommands:\n- []", 3, "commands[0]: is empty", "words"),
        ("title: x\ncommands: ['']", 2, "commands[0]: is empty", "write a command"),
        ('title: x\ncommands: ["a\\0b"]', 2, "commands[0]: holds a zero byte", "remove it"),
        ('title: x\ncommands: [[a, "\\0"]]', 2, "commands[0]: holds a zero byte", "remove it"),
        (
            'title: x\ncommands: [a]\nenvironment: {A: "b\\0"}',
            3,
            "environment.A: holds a zero byte",
            "remove it",
        ),
        ('title: "a\\e[31mb"\ncommands: [a]', 1, "title: is not one line of text", "why:"),
        ("title: |\n  a\n  b\ncommands: [a]", 1, "title: is not one line of text", "why:"),
        (
            "title: x\ncommands: [a]\ntimeout: 1e300",
            3,
            "timeout: 1e+300 is not a usable time",
            "seconds",
        ),
        ("title: [x]\ncommands: [a]", 1, "title: a list does not fit here", "write text"),
        ("title: x\ncommands: [a]\ntimeout: long", 3, "timeout: `long` does not fit", "a number"),
        ("title: x\ncommands: [a]\ntimeout: 0", 3, "timeout: 0 is not a usable time", "seconds"),
        (
            "title: x\ncommands: [a]\nenvironment: a",
            3,
            "environment: `a` does not fit",
            "{NAME: value}",
        ),
        (
            "title: x\ncommands: [a]\nenvironment:\n  A: [b]",
            4,
            "environment.A: is not text",
            "write A",
        ),
        (
            "title: x\ncommands: [a]\nenvironment:\n  A-B: b",
            4,
            "environment.A-B: is not a name",
            "letters",
        ),
        (
            "title: x\ncommands: [a]\nenvironment:\n  A: $HOME/x",
            4,
            "`$HOME` would be passed on literally",
            "stands for",
        ),
        (
            "title: x\ncommands: [a]\nenvironment:\n  A: ~/x",
            4,
            "`~` would be passed on literally",
            "stands for",
        ),
        (
            "title: x\nchecks:\n- record_hole",
            3,
            "there is no check `record_hole`",
            "did you mean `record_whole`?",
        ),
        (
            "title: x\ncommands: [a]\nsettings: [vlm]",
            3,
            "there is no setting `vlm`",
            "did you mean `vllm`?",
        ),
        (
            "title: x\ncommands: [a]\nafter:\n- 50-vlm",
            4,
            "there is no task `50-vlm`",
            "did you mean `50-vllm`?",
        ),
        (
            "title: x\ncommands: [a]\nafter: [85-models]",
            3,
            "a circle: 85-models after 85-models",
            "after:",
        ),
        ("title: x\nstep: 55", 2, "there is no step 55", "there are: 10, 50"),
        ("title: x\nstep: 50", 2, "is 50, and the file is 85-models", "50-vllm.yaml"),
        ("title: x\ncommands:\n- a\n- b 'c", 4, "a quote is not closed", "as a list"),
        ("title: x\ncommands:\n- |\n  a\n  b", 3, "holds a line break", "one item of the list"),
        ("title: x\ncommands: [A=1 b]", 2, "`A=1` is not a command", "environment: {A: 1}"),
        ("title: x\ncommands: [cd /x]", 2, "`cd` is a shell builtin", "bash -c"),
        ("- a", 1, "a list does not fit here", "write {title: …}"),
        ("title: x\n  commands: [a]", 2, "is not YAML", "indentation"),
        ("title: x\ncommands: [a]\n\0", 3, "a character that is not text", "right file"),
    ],
)
def test_an_error_names_its_line_and_the_correction(
    text: str, line: int, says: str, hint: str
) -> None:
    message = refused(text)
    assert message.startswith(f"error: tasks/85-models.yaml:{line}: ")
    assert says in message
    assert hint in message


@pytest.mark.parametrize(
    ("command", "odd"),
    [
        ("a | b", "|"),
        ("a > b", ">"),
        ("a 2>&1", ">"),
        ("a && b", "&&"),
        ("a || b", "||"),
        ("a; b", ";"),
        ("a &", "&"),
        ("a $HOME", "$"),
        ('a "$HOME/x"', "$"),
        (r'a "\$HOME"', "$"),  # split without a shell, the backslash would stay
        ("a `b`", "`"),
        ("a $(b)", "$"),
        ("a ~/x", "~"),
        ("a --x=~/y", "~"),
        ("a *.json", "*"),
        ("a {b,c}", "{b,c}"),
        ("a # b", "#"),
        ("'quoted' | b", "|"),
        (r"a \| b | c", "|"),
    ],
)
def test_shell_syntax_is_refused(command: str, odd: str) -> None:
    message = refused(f"title: x\ncommands:\n- {command!r}\n")
    assert f"tasks/85-models.yaml:3: commands[0]: `{odd}` would be passed on literally" in message
    assert "there is no shell here: write bash -c '…'" in message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a '$HOME | b'", ["a", "$HOME | b"]),
        (r"a \$HOME", ["a", "$HOME"]),
        ('a "b | c > d"', ["a", "b | c > d"]),
        ("a 'x>=1' y~=2 z#1 w[extra]", ["a", "x>=1", "y~=2", "z#1", "w[extra]"]),
        ("a --json '{\"b\": 1}' http://h:1/?x=1", ["a", "--json", '{"b": 1}', "http://h:1/?x=1"]),
        ("bash -c 'a | b && c > $HOME'", ["bash", "-c", "a | b && c > $HOME"]),
    ],
)
def test_quoted_and_harmless_text_is_literal(command: str, words: list[str]) -> None:
    (user_task,) = (
        task
        for task in read(_85_models="title: x\ncommands:\n- " + repr_yaml(command))
        if not task.is_step
    )
    assert user_task.commands == (tuple(words),)


def repr_yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize(
    "name",
    ["models", "8-models", "85_models", "85-Models", "85-", "05-models", "085-models", "85-a--b"],
)
def test_a_file_with_another_name_is_refused(name: str) -> None:
    with pytest.raises(UnreadableInput, match="is not a name for a task") as failure:
        tasks.read({f"tasks/{name}.yaml": "title: x\ncommands: [a]"}, STEPS, CHECKS)
    assert "85-our-models.yaml" in failure.value.hint


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("_85_others", "85 is the number of tasks/85-models.yaml already"),
        ("_50_mine", "50 is the number of"),
        ("_10_mine", "10 is the number of step 10-preflight"),
        ("_61_mine", "61 is the number of step 61-toolkit"),
    ],
)
def test_two_tasks_with_one_number_are_refused(name: str, says: str) -> None:
    text = "title: x\ncommands: [a]"
    assert says in refused(text, **{name: text})


def test_a_step_has_its_own_commands_and_checks() -> None:
    message = refused("title: x\nstep: 10\ncommands: [a]", "_10_preflight")
    assert "tasks/10-preflight.yaml:3: commands: a step has its own" in message


def test_tasks_are_sorted_by_number_and_after() -> None:
    task = "title: x\ncommands: [a]\n"
    sorted_tasks = read(
        _15_first=f"{task}after: [92-last, 50-vllm]",
        _85_b=task,
        _92_last=f"{task}after: [87-c]",
        _87_c=task,
        _95_d=task,
    )
    assert [task.number for task in sorted_tasks] == [50, 85, 87, 92, 15, 95]


def test_a_circle_is_named_in_full() -> None:
    task = "title: x\ncommands: [a]\n"
    message = refused(
        f"{task}after: [86-b]", _86_b=f"{task}after: [87-c]", _87_c=f"{task}after: [86-b]"
    )
    assert "tasks/86-b.yaml:3: after: a circle: 86-b after 87-c after 86-b" in message


def test_the_example_in_the_readme_is_a_task(tmp_path: Path) -> None:
    page = (ROOT / "tasks" / "README.md").read_text()
    (name,) = set(re.findall(r"`tasks/(\d\d-[a-z-]+\.yaml)`", page))
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / name).write_text(text)
    *_, user_task = discover_tasks.discover(tmp_path)
    assert (user_task.label, user_task.is_step) == (name.removesuffix(".yaml"), False)
    assert user_task.commands
    assert user_task.checks
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert keys == set(tasks._TaskFields.__struct_fields__) - {"step", "settings"}, (
        "it shows every key"
    )


def test_other_files_are_ignored_and_other_yaml_endings_refused(tmp_path: Path) -> None:
    for name in (".85-x.yaml.swp", "85-x.yaml~", "notes.md", ".hidden.yaml"):
        (tmp_path / name).write_text("\0")
    assert all(task.is_step for task in discover_tasks.discover(tmp_path))
    for name in ("85-x.yml", "85-x.YAML"):
        (tmp_path / name).write_text("title: x\ncommands: [a]")
        with pytest.raises(UnreadableInput, match="is not a name for a task"):
            discover_tasks.discover(tmp_path)
        (tmp_path / name).unlink()


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "85-x.yaml")
    with pytest.raises(UnreadableInput, match="is a pipe"):
        discover_tasks.discover(tmp_path)
