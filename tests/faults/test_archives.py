"""Wheels that are not those of the lock: tampered with, cut short, another build; in a folder and on an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.engine import generations
from tests.doors.local_server import Resource, serving
from tests.engine.small_index import wheel
from tests.faults.small_up import Small

UP = ("up", "--yes")


def tampered(path: Path) -> None:
    """One byte of a member's name: the archive stays one that can be opened."""
    data = bytearray(path.read_bytes())
    data[data.rindex(b"sympy.py")] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def another(path: Path) -> None:
    """A wheel in good order under the same name: only the hash tells."""
    wheel(path.parent, "sympy", "1.9", files={"evil.py": "print('here')\n"})


@pytest.fixture(params=["a folder", "an index"])
def source(small: Small, request: pytest.FixtureRequest) -> Iterator[Callable[[], dict[str, str]]]:
    """Says with which variables the wheels, as they are now, are found."""
    if request.param == "a folder":
        yield dict
        return
    with serving() as server:

        def published() -> dict[str, str]:
            server.resources.clear()
            for path in small.wheels.iterdir():
                name = path.name.split("-")[0].replace("_", "-")
                server.resources[f"/files/{path.name}"] = Resource(path.read_bytes())
                link = f'<a href="/files/{path.name.replace("+", "%2B")}">{path.name}</a>'
                page = server.resources.setdefault(f"/simple/{name}/", Resource(b"<!DOCTYPE html>", "text/html"))
                page.data += link.encode()
                server.resources[f"/files/{path.name.replace('+', '%2B')}"] = Resource(path.read_bytes())
            return {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": server.url("/simple/")}

        yield published


@pytest.mark.parametrize("damage", [tampered, truncated, another])
def test_a_wheel_that_is_not_the_locked_one(
    small: Small, source: Callable[[], dict[str, str]], damage: Callable[[Path], None]
) -> None:
    (path,) = small.wheels.glob("sympy-*")
    right = path.read_bytes()
    damage(path)
    code, out, err = small.run(*UP, env=source())
    assert code == 4, out + err
    assert "step 40-torch: install torch" in err
    assert "sympy" in err
    if damage is another:
        assert "Hash mismatch" in err
    assert generations.current(small.prefix) is None
    assert not list(small.prefix.glob("*/lib/python*/site-packages/evil.py"))
    path.write_bytes(right)
    code, out, err = small.run(*UP, env=source())
    assert code == 0, out + err
