"""Code that runs inside the environment with a real torch, many cases in one process: importing torch takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from typing import Any

import pytest

from provision.engine import launch_checks

REAL = os.environ.get("VLLM_READY_TEST_ENV", "")


def real_torch(test: Any) -> Any:
    skip = pytest.mark.skipif(not REAL, reason="VLLM_READY_TEST_ENV names no Python with vLLM")
    return pytest.mark.real_vllm(skip(test))


def said(code: str, *arguments: str) -> Any:
    """What the code leaves in `found`, by way of JSON."""
    begin = "import json, sys\nsys.path.insert(0, sys.argv[1])\nimport torch\n"
    whole = f"{begin}{textwrap.dedent(code)}\nprint('\\n' + json.dumps(found))\n"
    argv = [REAL, "-I", "-B", "-c", whole, str(launch_checks.CHECKS.parent), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
