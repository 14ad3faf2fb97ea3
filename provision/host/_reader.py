"""The child that reads files, so that a file system that hangs blocks only this process."""

from __future__ import annotations

import glob
import json
import os
import stat
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from provision.doors import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Answer = dict[str, str]

FILE_LIMIT = 1024 * 1024
MATCH_LIMIT = 5000


def read_file(path: str, words: Collection[str] = ()) -> Answer:
    """Read one file, whole or only some of its words; "~" is the home folder."""
    try:
        text = _content(os.path.expanduser(path))
    except (FileNotFoundError, NotADirectoryError):
        return {"outcome": "absent", "detail": f"{path} does not exist"}
    except PermissionError as error:
        return {"outcome": "refused", "detail": f"{path}: {error.strerror}"}
    except OSError as error:
        return {"outcome": "failed", "detail": f"{path}: {error.strerror}"}
    return {
        "outcome": "ok",
        "text": (
            " ".join(word for word in text.split() if word.partition("=")[0] in words)
            if words
            else text
        ),
    }


def read_files(patterns: list[str]) -> Answer:
    """Read every match: a link as "-> target", a folder or device as "".

    Skip what cannot be read.
    """
    texts: dict[str, str] = {}
    refused = ""
    for pattern in patterns:
        for path in sorted(glob.iglob(os.path.expanduser(pattern)))[:MATCH_LIMIT]:
            try:
                texts[path] = (
                    f"-> {Path(path).readlink()}" if Path(path).is_symlink() else _match(path)
                )
            except PermissionError as error:
                refused = f"{path}: {error.strerror}"
            except (
                OSError
            ):  # removed since it was listed, or a sysfs file whose driver does not answer
                continue
    if texts:
        return {"outcome": "ok", "text": json.dumps(texts)}
    if refused:
        return {"outcome": "refused", "detail": refused}
    return {"outcome": "absent", "detail": f"nothing matches {' '.join(patterns)}"}


def _match(path: str) -> str:
    return _content(path) if stat.S_ISREG(Path(path).stat().st_mode) else ""


def _content(path: str) -> str:
    if not stat.S_ISREG(
        Path(path).stat().st_mode
    ):  # opening a pipe blocks, opening a device may change it
        raise OSError(None, "is not a regular file")
    with Path(path).open("rb") as stream:
        return stream.read(FILE_LIMIT).decode("utf-8", "replace")


def answer_all(
    work: Mapping[str, Callable[[], Answer]], deadline_s: float, emit: Callable[[str, Answer], None]
) -> None:
    """Do everything at once, emit each answer as it comes, return by the deadline."""
    at_once.run_all(
        {key: partial(_answer, key, job, emit) for key, job in work.items()}, deadline_s
    )


def _answer(key: str, job: Callable[[], Answer], emit: Callable[[str, Answer], None]) -> None:
    try:
        answer = job()
    except PermissionError as error:
        answer = {"outcome": "refused", "detail": str(error)}
    except Exception as error:  # noqa: BLE001 - a broken reading must not lose the others
        answer = {"outcome": "failed", "detail": f"{type(error).__name__}: {error}"}
    emit(key, answer)


def _jobs(request: dict[str, dict[str, object]]) -> dict[str, Callable[[], Answer]]:
    from provision.host._filesystem import LOOKS  # it imports this module

    work: dict[str, Callable[[], Answer]] = {}
    for key, order in request.items():
        kind, argument = next(iter(order.items()))
        if kind == "file":
            work[key] = partial(read_file, str(argument), cast("list[str]", order.get("words", [])))
        elif kind == "files":
            work[key] = partial(read_files, cast("list[str]", argument))
        else:
            work[key] = partial(_look, LOOKS[kind], argument)
    return work


def _look(look: Callable[..., object], argument: object) -> Answer:
    value = look(argument) if argument is not None else look()
    if value is None:
        return {"outcome": "absent"}
    return {"outcome": "ok", "text": json.dumps(value)}


def main() -> None:
    """Read one JSON object of requests from stdin; write each answer as one JSON line."""
    order = json.load(sys.stdin)
    lock = threading.Lock()

    def emit(key: str, answer: Answer) -> None:
        line = json.dumps([key, answer]).encode() + b"\n"
        with lock:
            while line:
                line = line[os.write(1, line) :]

    answer_all(_jobs(order["jobs"]), order["deadline_s"], emit)
    os._exit(0)  # do not wait for threads that hang


if __name__ == "__main__":
    main()
