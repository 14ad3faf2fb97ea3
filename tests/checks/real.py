"""Code tried in the Python of a real vLLM, one process for all the cases of a test."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from provision.engine import launch_checks

PYTHON = os.environ.get("VLLM_READY_TEST_ENV", "")
_PRELUDE = f"""
import json, sys
sys.path.insert(0, {str(launch_checks.CHECKS.parent)!r})
import torch
from checks import _devices, _numbers
from checks._contract import Context
said = {{}}
"""


_Test = TypeVar("_Test", bound=Callable[..., None])


def needed(test: _Test) -> _Test:
    why = "VLLM_READY_TEST_ENV names no Python with vLLM"
    marked: _Test = pytest.mark.skipif(not PYTHON, reason=why)(pytest.mark.real_vllm(test))
    return marked


def answers(code: str, *arguments: str, **environment: str) -> Any:
    """What `code` has put into `said`, with torch and the checks at hand; the arguments are in sys.argv."""
    script = _PRELUDE + textwrap.dedent(code) + "\nprint('\\n' + json.dumps(said, default=vars))"
    argv = [PYTHON, "-I", "-B", "-c", script, *arguments]
    # Threads that wait for each other crawl where other tests run beside them.
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_says(found: dict[str, str], expected: dict[str, str]) -> None:
    """Each answer begins as expected; nothing wrong is said as nothing."""
    assert found.keys() == expected.keys()
    for name, words in expected.items():
        assert bool(found[name]) == bool(words), (name, found[name])
        assert found[name].startswith(words), (name, found[name])
