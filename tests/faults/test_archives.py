"""Wheels that differ from the lock: cut short, another build; in a folder, on a server, stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.engine import environments
from tests.doors.local_server import serving
from tests.engine.small_index import wheel
from tests.faults.small_up import Small

pytestmark = pytest.mark.environment

UP = ("up", "--yes")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def another(path: Path) -> None:
    """A wheel in good order under the same name: only the hash tells."""
    wheel(path.parent, "sympy", "1.9", files={"evil.py": "print('here')\n"})


@pytest.mark.parametrize(
    ("source", "damage"),
    [
        ("a folder", another),
        ("a server", truncated),
        pytest.param("a folder", truncated, marks=pytest.mark.long),
        pytest.param("a server", another, marks=pytest.mark.long),
    ],
)
def test_a_wheel_that_is_not_the_locked_one(
    small: Small, source: str, damage: Callable[[Path], None]
) -> None:
    (path,) = small.wheels.glob("sympy-*")
    right = path.read_bytes()
    damage(path)
    with serving() as server:
        if source == "a server":
            small = small.from_server(server)
            small.wish()
        code, out, err = small.run(*UP)
        assert code == 4, out + err
        assert (
            "error: step 40-torch: fetch 3 wheels: its content does not match the locked SHA-256: "
            in err
        )
        assert path.name in err
        assert "hint: the index or a proxy changed it" in err
        assert environments.current_id(small.prefix) is None
        assert not list(small.prefix.glob("*/lib/python*/site-packages/*sympy*"))
        assert not list(small.prefix.glob("wheels/*sympy*")), "nor is it kept"
        path.write_bytes(right)
        small.from_server(server)
        code, out, err = small.run(*UP)
        assert code == 0, out + err


@pytest.mark.parametrize("damage", [another, pytest.param(truncated, marks=pytest.mark.long)])
def test_a_wheel_that_was_changed_in_the_store(
    finished: Small, damage: Callable[[Path], None]
) -> None:
    """A repair installs from the store, and downloads a wheel again if it differs from the lock."""
    (path,) = finished.prefix.glob("wheels/sympy-*")
    right = path.read_bytes()
    damage(path)
    installed = finished.packages / "sympy.py"
    installed.write_text("torn")
    code, out, err = finished.run(*UP)
    assert code == 0, out + err
    assert installed.read_text() == "VERSION = '1.9'\n"
    assert path.read_bytes() == right
    assert not (finished.packages / "evil.py").exists()
