"""Take every reading in a child of its own, within its deadline; a child that hangs is left."""

import errno
import json
import os
import select
import signal
import subprocess
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

MOST_BYTES = 4 * 1024 * 1024

# A reading is a value, none, not readable (with a command for someone with rights), or timed out.
Answer = Dict[str, Any]
Reading = NamedTuple(
    "Reading", [("name", str), ("deadline", float), ("take", Callable[[], Answer])]
)


def value(text: str, **details: Any) -> Answer:
    return dict(details, outcome="value", text=text)


def none(text: str) -> Answer:
    return {"outcome": "none", "text": text}


def not_readable(text: str, command: str = "") -> Answer:
    return {"outcome": "not readable", "text": text, "command": command}


def run(argv: List[str], deadline: float) -> Tuple[int, str]:
    """Return status and output of a program; -1 if it is missing, -2 if it does not end in time."""
    environment = dict(os.environ, LC_ALL="C")
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    except OSError as error:
        return -1, os.strerror(error.errno or errno.ENOENT)
    try:
        output = child.communicate(timeout=deadline)[0]
    except subprocess.TimeoutExpired:
        child.kill()  # our whole group is killed later, too
        return -2, ""
    return child.returncode, output[-MOST_BYTES:].decode("utf-8", "replace")


def take_all(readings: List[Reading]) -> Dict[str, Answer]:
    """Take all readings at once; return their answers in the order of the readings."""
    waiting = {}  # type: Dict[int, Tuple[Reading, int, float, bytearray]]
    answers = {}  # type: Dict[str, Answer]
    for reading in readings:
        handle, pid = _started(reading)
        waiting[handle] = (reading, pid, time.monotonic() + reading.deadline, bytearray())
    while waiting:
        first = min(deadline for _, _, deadline, _ in waiting.values())
        ready = select.select(list(waiting), [], [], max(first - time.monotonic(), 0))[0]
        for handle in ready:
            reading, pid, _, received = waiting[handle]
            part = os.read(handle, 65536)
            received += part
            if not part:
                answers[reading.name] = _answer(bytes(received))
                _end(handle, pid)
                del waiting[handle]
        for handle, (reading, pid, deadline, _) in list(waiting.items()):
            if time.monotonic() >= deadline:
                text = "no answer within {:g} s".format(reading.deadline)
                answers[reading.name] = {"outcome": "timed out", "text": text}
                _end(handle, pid)
                del waiting[handle]
    return {reading.name: answers[reading.name] for reading in readings}


def _started(reading: Reading) -> Tuple[int, int]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return read_end, pid
    try:
        os.setsid()
        os.close(read_end)
        answer = _taken(reading)
        with os.fdopen(write_end, "wb") as stream:
            stream.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _taken(reading: Reading) -> Answer:
    try:
        return reading.take()
    except PermissionError as error:
        return not_readable(str(error))
    except Exception as error:  # a reading that fails must not keep the others from being shown
        return not_readable("{}: {}".format(type(error).__name__, error))


def _answer(received: bytes) -> Answer:
    try:
        answer = json.loads(received.decode())  # type: Answer
    except ValueError:
        return not_readable("the reading ended without an answer")
    return answer


def _end(handle: int, pid: int) -> None:
    os.close(handle)
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        os.waitpid(pid, os.WNOHANG)  # never wait: a child in D state does not end
    except OSError:
        pass
