"""Parse tasks/*.yaml into tasks; every error names its file and line. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput, nearest
from provision.settings import Settings

_LONGEST: Final = 30 * 24 * 3600  # seconds
_FILE: Final = re.compile(r"([1-9]\d)-([a-z0-9]+(?:-[a-z0-9]+)*)\.yaml")
_NO_SHELL: Final = (
    "there is no shell here: write bash -c '…', or put it in single quotes if it is meant literally"
)
# Text that a shell would expand or act on outside of quotes. Inside double quotes it still expands
# $ and `.
_BARE: Final = re.compile(
    r"&&|\|\||[|<>;&`$*()]|(?<![^\s=:])~|(?<!\S)#|\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}"
)
_EXPANDED: Final = re.compile(r"[$`]")
_PIECES: Final = re.compile(r"\\.|'(?P<plain>[^']*)'|\"(?P<double>(?:\\.|[^\"\\])*)\"", re.DOTALL)
_BUILTINS: Final = frozenset(
    {"cd", "export", "source", ".", "alias", "set", "unset", "ulimit", "umask", "eval", "exec"}
)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered unit of work.

    With `is_step` it comes with vllm-ready, and the checks of its step prove it. All others are
    the user's: commands, and checks that must pass afterwards.
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


class _TaskFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a file."""

    title: str
    why: str = ""
    step: int | None = None
    settings: list[str] = []
    commands: list[str | list[str]] = []
    checks: list[str] = []
    after: list[str] = []
    environment: dict[str, Any] = {}  # the values are taken from the text, as written
    timeout: float = 3600.0
    if_it_fails: str = ""
    undo: str = ""


class _File:
    """One parsed file; `refuse` raises an error at a place in it."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        match = _FILE.fullmatch(path.rpartition("/")[2])
        if not match:
            raise UnreadableInput(
                "is not a name for a task",
                where=path,
                hint="write a number from 10 to 99, a dash, lower-case letters: 85-our-models.yaml",
            )
        self.number, self.name = int(match[1]), match[2]
        self.document = yamltext.parse(text, path)
        if self.document.data is None:
            raise UnreadableInput(
                "is empty", where=f"{path}:1", hint="a task has a title: and commands:, or checks:"
            )
        self.fields = yamltext.typed(self.document, _TaskFields, path)

    def refuse(self, place: str, what: str, hint: str) -> NoReturn:
        line = self.document.lines.get(f"$.{place}", 1)
        raise UnreadableInput(f"{place}: {what}", where=f"{self.path}:{line}", hint=hint)


def read(
    texts: Mapping[str, str],
    steps: Mapping[int, str],
    checks: Iterable[str],
    parts: Mapping[int, str] = {},
) -> tuple[Task, ...]:
    """Return the tasks of these files (path -> text) in their order of work, the steps' first.

    `steps` names all steps by number, and `checks` names all checks. `parts` names steps that have
    a number and no task of their own.
    """
    check_names = sorted(checks)
    files = [
        _File(path, texts[path]) for path in sorted(texts, key=lambda path: path.rpartition("/")[2])
    ]
    tasks: dict[str, Task] = {}
    owners: dict[int, str] = {}
    for file in files:
        if file.number in owners:
            raise UnreadableInput(
                f"{file.number} is the number of {owners[file.number]} already",
                where=file.path,
                hint="give one of them another number",
            )
        task = _task(file, steps, check_names)
        if not task.is_step and (step := {**steps, **parts}.get(file.number)):
            raise UnreadableInput(
                f"{file.number} is the number of step {file.number}-{step}",
                where=file.path,
                hint="give it another number, such as 85",
            )
        owners[file.number] = file.path
        tasks[task.label] = task
    for file in files:
        for i, name in enumerate(file.fields.after):
            if name not in tasks:
                file.refuse(
                    f"after[{i}]",
                    f"there is no task `{name}`",
                    yamltext.nearest_or_all(name, sorted(tasks)),
                )
    # Sorted by number already; only the user's tasks may name others in `after`.
    of_steps = [task for task in tasks.values() if task.is_step]
    return (
        *of_steps,
        *_sort(
            {label: task for label, task in tasks.items() if not task.is_step},
            {file.path: file for file in files},
        ),
    )


def _task(file: _File, steps: Mapping[int, str], checks: list[str]) -> Task:
    fields = file.fields
    if not fields.title.strip():
        file.refuse("title", "is empty", "say in a few words what it is")
    if not fields.title.strip().isprintable():
        file.refuse(
            "title",
            "is not one line of text",
            "say in a few words what it is; more fits into why:",
        )
    if fields.step is not None:
        _check_step(file, steps)
    elif not fields.commands and not fields.checks:
        raise UnreadableInput(
            "does nothing: no commands, no checks",
            where=f"{file.path}:1",
            hint="add commands: […]",
        )
    if not 0 < fields.timeout <= _LONGEST:
        file.refuse(
            "timeout",
            f"{fields.timeout:g} is not a usable time",
            "write seconds, such as timeout: 3600",
        )
    settings = list(Settings.__struct_fields__)
    for key, names, known, otherwise in (
        ("checks", fields.checks, checks, "./setup.sh check list explains all of them"),
        ("settings", fields.settings, settings, f"known: {', '.join(settings)}"),
    ):
        for i, name in enumerate(names):
            if name not in known:
                file.refuse(
                    f"{key}[{i}]",
                    f"there is no {key[:-1]} `{name}`",
                    nearest(name, known) or otherwise,
                )
    return Task(
        number=file.number,
        name=file.name,
        title=fields.title.strip(),
        why=fields.why.strip(),
        is_step=fields.step is not None,
        settings=tuple(fields.settings),
        commands=tuple(_words(file, i, line) for i, line in enumerate(fields.commands)),
        checks=tuple(fields.checks),
        after=tuple(fields.after),
        environment=dict(_environment(file)),
        timeout=fields.timeout,
        if_it_fails=fields.if_it_fails.strip(),
        undo=fields.undo.strip(),
    )


def _check_step(file: _File, steps: Mapping[int, str]) -> None:
    number = file.fields.step or 0
    if number not in steps:
        file.refuse(
            "step",
            f"there is no step {number}",
            f"there are: {', '.join(map(str, sorted(steps)))}",
        )
    if (file.number, file.name) != (number, steps[number]):
        file.refuse(
            "step",
            f"is {number}, and the file is {file.number}-{file.name}",
            f"the task of step {number} is {number}-{steps[number]}.yaml; "
            "your own tasks have no step:",
        )
    for key in ("commands", "checks", "after", "environment"):
        if getattr(file.fields, key):
            file.refuse(
                key,
                "a step has its own",
                "write a task of your own into another file, without step:",
            )


def _words(file: _File, index: int, line: str | list[str]) -> tuple[str, ...]:
    """Split a command into words as a shell would, and refuse what only a shell understands."""
    place = f"commands[{index}]"
    if "\0" in "".join(line):
        file.refuse(place, "holds a zero byte, which no command can have", "remove it")
    if isinstance(line, list):  # its words are literal: nothing is split or refused
        if not line or not line[0]:
            file.refuse(place, "is empty", "write the words of a command: [hf, download, MODEL]")
        return tuple(line)
    text = line.strip()
    if "\n" in text:
        file.refuse(
            place, "holds a line break", f"one command is one item of the list; {_NO_SHELL}"
        )
    try:
        words = shlex.split(text)
    except ValueError as error:
        problem = {"No closing quotation": "a quote is not closed"}.get(str(error), str(error))
        file.refuse(
            place,
            f"{problem}: {text[:60]}",
            "close it, or write the words as a list: [hf, download, MODEL]",
        )
    if not words:
        file.refuse(place, "is empty", "write a command")
    if syntax := _shell_syntax(text):
        file.refuse(place, f"`{syntax}` would be passed on literally", _NO_SHELL)
    if words[0] in _BUILTINS:
        file.refuse(place, f"`{words[0]}` is a shell builtin, not a command", _NO_SHELL)
    if re.match(r"[A-Za-z_]\w*=", words[0]):  # a shell would set a variable for the command
        name, _, value = words[0].partition("=")
        file.refuse(
            place,
            f"`{words[0][:60]}` is not a command",
            f"write environment: {{{name}: {value or '…'}}}",
        )
    return tuple(words)


def _shell_syntax(text: str) -> str:
    """Return the first piece that only a shell understands; "" if there is none.

    Text in single quotes or after a backslash is literal.
    """
    double_quoted = (piece["double"] or "" for piece in _PIECES.finditer(text))
    expanded = (match[0] for part in double_quoted if (match := _EXPANDED.search(part)))
    bare = _BARE.search(_PIECES.sub("x", text))
    return bare[0] if bare else next(expanded, "")


def _environment(file: _File) -> Iterator[tuple[str, str]]:
    """Yield the variables with their values exactly as written: 1.10 stays 1.10."""
    for name, value in file.fields.environment.items():
        place = f"environment.{name}"
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            file.refuse(place, "is not a name for a variable", "use letters, digits and _ only")
        if isinstance(value, (list, dict)):
            file.refuse(place, "is not text", f'write {name}: "…"')
        text = file.document.written[f"$.{place}"]
        if "\0" in text:
            file.refuse(place, "holds a zero byte, which no variable can have", "remove it")
        if syntax := re.match(r"~|.*?(\$\{?[A-Za-z_]\w*)", text, re.DOTALL):
            file.refuse(
                place,
                f"`{syntax[1] or '~'}` would be passed on literally",
                "write out what it stands for",
            )
        yield name, text


def _sort(tasks: dict[str, Task], files: Mapping[str, _File]) -> list[Task]:
    """Sort by number, but each task behind those in its `after`; refuse a circle."""
    left = dict(sorted(tasks.items()))
    order: list[Task] = []
    while left:
        ready = next((task for task in left.values() if not left.keys() & set(task.after)), None)
        if ready is None:
            circle = _circle(left)
            file = next(file for path, file in files.items() if path.endswith(f"{circle[0]}.yaml"))
            file.refuse(
                "after", f"a circle: {' after '.join(circle)}", "remove one of them from after:"
            )
        order.append(left.pop(ready.label))
    return order


def _circle(left: dict[str, Task]) -> list[str]:
    # Every task that is left waits for another one that is left, so following them must repeat.
    path = [next(iter(left))]
    while True:
        following = next(name for name in left[path[-1]].after if name in left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
