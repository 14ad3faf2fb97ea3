"""tasks/*.yaml -> Task: the numbered units that a person knows; every complaint has its file and line. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput
from provision.settings import Settings

_LONGEST: Final = 30 * 24 * 3600  # seconds
_FILE: Final = re.compile(r"([1-9]\d)-([a-z0-9]+(?:-[a-z0-9]+)*)\.yaml")
_NO_SHELL: Final = "there is no shell here: write bash -c '…', or quote what is meant as it stands"
# What a shell would not take as it stands, outside of quotes; between double quotes it still looks at $ and `.
_BARE: Final = re.compile(r"&&|\|\||[|<>;&`$*()]|(?<![^\s=:])~|(?<!\S)#|\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}")
_EXPANDED: Final = re.compile(r"[$`]")
_PIECES: Final = re.compile(r"\\.|'(?P<plain>[^']*)'|\"(?P<double>(?:\\.|[^\"\\])*)\"", re.DOTALL)
_OWN: Final = frozenset({"cd", "export", "source", ".", "alias", "set", "unset", "ulimit", "umask", "eval", "exec"})


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered unit. `is_step`: it comes with vllm-ready and is proved by the checks that name its step.

    The others are the user's: commands, and checks that must pass afterwards.
    """

    number: int
    name: str
    title: str
    why: str = ""
    is_step: bool = False
    settings: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    timeout: float = 3600.0
    if_it_fails: str = ""
    undo: str = ""

    @property
    def label(self) -> str:
        return f"{self.number}-{self.name}"


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a file."""

    title: str
    why: str = ""
    step: int | None = None
    settings: list[str] = []
    commands: list[str | list[str]] = []
    checks: list[str] = []
    after: list[str] = []
    environment: dict[str, Any] = {}
    timeout: float = 3600.0
    if_it_fails: str = ""
    undo: str = ""


class _File:
    """One file on its way to a task, and how to complain about a place in it."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        named = _FILE.fullmatch(path.rpartition("/")[2])
        if not named:
            hint = "10 to 99, a dash, small letters: 85-our-models.yaml"
            raise UnreadableInput("is no name for a task", where=path, hint=hint)
        self.number, self.name = int(named[1]), named[2]
        self.document = yamltext.parse(text, path)
        if self.document.data is None:
            raise UnreadableInput("is empty", where=f"{path}:1", hint="a task has a title: and commands:, or checks:")
        self.written = yamltext.typed(self.document, _Written, path)

    def refuse(self, place: str, what: str, hint: str) -> NoReturn:
        line = self.document.lines.get(f"$.{place}", 1)
        raise UnreadableInput(f"{place}: {what}", where=f"{self.path}:{line}", hint=hint)


def read(
    texts: Mapping[str, str], steps: Mapping[int, str], checks: Iterable[str], parts: Mapping[int, str] = {}
) -> tuple[Task, ...]:
    """The tasks of these files (path -> text), ours first and then the user's, each in their order of work.

    `steps` are the names of all steps by number, `checks` the names of all checks; `parts` have a number and no task.
    """
    known = sorted(checks)
    files = [_File(path, text) for path, text in sorted(texts.items(), key=lambda one: one[0].rpartition("/")[2])]
    tasks: dict[str, Task] = {}
    taken: dict[int, str] = {}
    for file in files:
        if file.number in taken:
            what = f"{file.number} is the number of {taken[file.number]} already"
            raise UnreadableInput(what, where=file.path, hint="give one of them another number")
        task = _task(file, steps, known)
        if not task.is_step and (step := {**steps, **parts}.get(file.number)):
            what = f"{file.number} is the number of step {file.number}-{step}"
            raise UnreadableInput(what, where=file.path, hint="give it another number, such as 85")
        taken[file.number] = file.path
        tasks[task.label] = task
    for file in files:
        for i, name in enumerate(file.written.after):
            if name not in tasks:
                file.refuse(f"after[{i}]", f"there is no task `{name}`", yamltext.nearest(name, sorted(tasks)))
    ours = [task for task in tasks.values() if task.is_step]
    own = {label: task for label, task in tasks.items() if not task.is_step}
    return (*ours, *_in_order(own, {file.path: file for file in files}))


def _task(file: _File, steps: Mapping[int, str], checks: list[str]) -> Task:
    said = file.written
    if not said.title.strip():
        file.refuse("title", "is empty", "say in a few words what it is")
    if not said.title.strip().isprintable():
        file.refuse("title", "is not one line of text", "say in a few words what it is; more fits into why:")
    if said.step is not None:
        _refuse_what_is_no_step(file, steps)
    elif not said.commands and not said.checks:
        where = f"{file.path}:1"
        raise UnreadableInput("does nothing: no commands, no checks", where=where, hint="add commands: […]")
    if not 0 < said.timeout <= _LONGEST:
        file.refuse("timeout", f"{said.timeout:g} is no time", "write seconds, such as timeout: 3600")
    for key, names, known in (
        ("checks", said.checks, checks),
        ("settings", said.settings, list(Settings.__struct_fields__)),
    ):
        for i, name in enumerate(names):
            if name not in known:
                file.refuse(f"{key}[{i}]", f"there is no {key[:-1]} `{name}`", yamltext.nearest(name, known))
    return Task(
        number=file.number,
        name=file.name,
        title=said.title.strip(),
        why=said.why.strip(),
        is_step=said.step is not None,
        settings=tuple(said.settings),
        commands=tuple(_words(file, i, line) for i, line in enumerate(said.commands)),
        checks=tuple(said.checks),
        after=tuple(said.after),
        environment=dict(_environment(file)),
        timeout=said.timeout,
        if_it_fails=said.if_it_fails.strip(),
        undo=said.undo.strip(),
    )


def _refuse_what_is_no_step(file: _File, steps: Mapping[int, str]) -> None:
    number = file.written.step or 0
    if number not in steps:
        file.refuse("step", f"there is no step {number}", f"there are: {', '.join(map(str, sorted(steps)))}")
    if (file.number, file.name) != (number, steps[number]):
        hint = f"the task of step {number} is {number}-{steps[number]}.yaml; one of your own has no step:"
        file.refuse("step", f"is {number}, and the file is {file.number}-{file.name}", hint)
    for key in ("commands", "checks", "after", "environment"):
        if getattr(file.written, key):
            file.refuse(key, "a step has its own", "give a task of your own its own file, without step:")


def _words(file: _File, at: int, line: str | list[str]) -> tuple[str, ...]:
    place = f"commands[{at}]"
    if "\0" in "".join(line):
        file.refuse(place, "holds a zero byte, which no command can", "take it out")
    if isinstance(line, list):
        if not line or not line[0]:
            file.refuse(place, "is empty", "write the words of a command: [hf, download, MODEL]")
        return tuple(line)
    text = line.strip()
    if "\n" in text:
        file.refuse(place, "holds a line break", f"one command is one item of the list; {_NO_SHELL}")
    try:
        words = shlex.split(text)
    except ValueError as error:
        odd = {"No closing quotation": "a quote is not closed"}.get(str(error), str(error))
        file.refuse(place, f"{odd}: {text[:60]}", "close it, or write the words as a list: [hf, download, MODEL]")
    if not words:
        file.refuse(place, "is empty", "write a command")
    if odd := _of_a_shell(text):
        file.refuse(place, f"`{odd}` would be handed on as it stands", _NO_SHELL)
    if words[0] in _OWN:
        file.refuse(place, f"`{words[0]}` is a word of shells, no command", _NO_SHELL)
    if re.match(r"[A-Za-z_]\w*=", words[0]):
        name, _, value = words[0].partition("=")
        file.refuse(place, f"`{words[0][:60]}` is no command", f"write environment: {{{name}: {value or '…'}}}")
    return tuple(words)


def _of_a_shell(text: str) -> str:
    """What only a shell would understand; what stands in single quotes, or behind a backslash, is meant as it is."""
    double = (piece["double"] or "" for piece in _PIECES.finditer(text))
    inside = next((found[0] for part in double if (found := _EXPANDED.search(part))), "")
    bare = _BARE.search(_PIECES.sub("x", text))
    return bare[0] if bare else inside


def _environment(file: _File) -> Iterator[tuple[str, str]]:
    """Values as they were written: 1.10 stays 1.10."""
    for name, value in file.written.environment.items():
        place = f"environment.{name}"
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            file.refuse(place, "is no name of a variable", "letters, digits and _ only")
        if isinstance(value, (list, dict)):
            file.refuse(place, "is no text", f'write {name}: "…"')
        text = file.document.written[f"$.{place}"]
        if "\0" in text:
            file.refuse(place, "holds a zero byte, which no variable can", "take it out")
        if odd := re.match(r"~|.*?(\$\{?[A-Za-z_]\w*)", text, re.DOTALL):
            file.refuse(place, f"`{odd[1] or '~'}` would be handed on as it stands", "write out what it stands for")
        yield name, text


def _in_order(tasks: dict[str, Task], files: Mapping[str, _File]) -> list[Task]:
    """By number, but never before what a task comes after; where that is a circle there is no order."""
    left = dict(sorted(tasks.items()))
    order: list[Task] = []
    while left:
        ready = next((one for one in left.values() if not left.keys() & set(one.after)), None)
        if ready is None:
            circle = _circle(left)
            file = next(file for path, file in files.items() if path.endswith(f"{circle[0]}.yaml"))
            file.refuse("after", f"a circle: {' after '.join(circle)}", "take one of them out of after:")
        order.append(left.pop(ready.label))
    return order


def _circle(left: dict[str, Task]) -> list[str]:
    path = [next(iter(left))]
    while True:
        following = next(name for name in left[path[-1]].after if name in left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
