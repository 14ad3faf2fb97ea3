"""Provision a world in a process of its own that can kill itself at its n-th system call."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from provision.errors import Failure
from tests.engine import synthetic


def die_before(nth: int) -> None:
    """Kill this process group before the n-th rename, link or sync; negative: removal."""
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == abs(nth):
                os.killpg(0, signal.SIGKILL)
            return real(*arguments, **more)

        return call

    for name in ("replace", "rename", "symlink", "fsync") if nth > 0 else ("unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))


def main() -> int:
    world = msgspec.json.decode(
        sys.argv[1], type=synthetic.World, dec_hook=lambda kind, value: kind(value)
    )
    if int(sys.argv[3]):
        die_before(int(sys.argv[3]))
    try:
        synthetic.provision(world, sys.argv[2])
    except Failure as failure:
        sys.stderr.write(str(failure))
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
