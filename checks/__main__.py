"""`python -m checks list|run NAME…`: the checks by hand, in the interpreter that runs this; nothing else is needed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import _discover, _installed
from ._contract import Context, tried_by_one

_FOLDER = Path(__file__).parent
_DEPTHS = ("passive", "quick", "full")
_Capability = Any  # (major, minor); None where nobody tells
_LAST_LINES = 40
_NAMED = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("verb", choices=["list", "run"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of the profile where none is given")
    parser.add_argument("--profile", choices=_DEPTHS, default="quick", help="how deep (quick)")
    parser.add_argument("--json", metavar="FILE", help="write the report there")
    parser.add_argument("--context", metavar="FILE", help="what the checks are told, as JSON: pins, gpus, profile")
    asked = parser.parse_args()
    known = _discover.descriptions(__package__, _FOLDER)
    if unknown := sorted(set(asked.names) - {check["name"] for check in known}):
        parser.error(f"no check is named {' or '.join(unknown)}")
    wanted = [check for check in known if check["name"] in asked.names or (not asked.names and _within(check, asked))]
    if asked.verb == "list":
        for check in wanted:
            _say(f"{check['name']:<26}{check.get('proves') or check['problem']}")
        return _left(asked.json, wanted, 0)
    seen = _seen()
    try:
        context = {"profile": _installed.built_for(), "gpus": _visible(seen)}
        context |= _context(asked.context)
        if asked.json:
            open(asked.json, "a").close()  # better refused now than after an hour
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results = []
    for result in _tried(wanted, context):
        if result["outcome"] == "fail" and result["weight"] == "should":
            result["outcome"] = "warn"
        results.append(result)
        _say(f"{result['outcome']:<6}{result['name']:<26}{result['seconds']:>7.1f} s  {result['summary']}")
    promised = asked.names or [check["name"] for check in wanted if _expected(check, context, seen)]
    return _left(asked.json, *_report(results, promised, list(context["gpus"]), began))


def _context(path: str | None) -> dict[str, Any]:
    told = json.loads(Path(path).read_bytes()) if path else {}
    if not isinstance(told, dict):
        raise TypeError(f"{path} is no context of a check: no object")
    like = json.loads(json.dumps(asdict(Context(profile="cpu", scratch=""))))
    if wrong := [name for name, value in told.items() if not isinstance(value, type(like.get(name)))]:
        raise ValueError(f"{path} is no context of a check: {', '.join(wrong)}")
    return told


def _say(line: str) -> None:
    """Nothing that steers a terminal. Its reader may go away (| head); what is left is tried all the same."""
    try:
        print("".join(letter if letter.isprintable() else " " for letter in line), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _within(check: dict[str, Any], asked: argparse.Namespace) -> bool:
    return asked.verb == "list" or _DEPTHS.index(check.get("profile", "passive")) <= _DEPTHS.index(asked.profile)


def _expected(check: dict[str, Any], context: dict[str, Any], seen: dict[str, _Capability]) -> bool:
    """What whatever is to run vLLM has to pass; the rest is skipped where nobody has locked, recorded or served."""
    needs = check.get("needs", {})
    if any(needs.get(what) for what in ("lock", "distributions", "recording", "serving")):
        return False
    if not all(any(map(shutil.which, tools.split())) for tools in needs.get("tools", ())):
        return False
    if context["profile"] == "cpu":
        return needs.get("profile") in (None, "cpu")
    can = [capability for capability in seen.values() if capability]
    gpus = max(len(context["gpus"]), 1)  # where none is, a vLLM for CUDA has proved nothing
    return (
        needs.get("profile") in (None, "cuda")
        and needs.get("gpus", 0) <= gpus
        and (not can or max(can) >= tuple(needs.get("capability") or (0, 0)))
    )


def _left(path: str | None, document: object, status: int) -> int:
    if path:
        Path(path).write_text(json.dumps(document, indent=1) + "\n")
    return status


def _tried(checks: list[dict[str, Any]], context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As `vllm-ready` tries them: by a process that keeps them apart, and by another where one has ended that too."""
    left = sorted(checks, key=lambda check: len(check.get("warm", ())))
    while left:
        done = 0
        for result in _together(left, context):
            done += 1
            yield result
        if done < len(left):
            yield _ended(left[done], "error", "the process that keeps the checks apart ended")
        left = left[done + 1 :]


def _together(checks: list[dict[str, Any]], context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="vllm-ready-", ignore_cleanup_errors=True) as work:
        mark = secrets.token_hex(16)
        requests = [_request(check, Path(work) / str(at), context) for at, check in enumerate(checks)]
        asked = Path(work) / "requests.json"
        asked.write_text(json.dumps({"mark": mark, "requests": requests}))
        argv = [sys.executable, "-I", "-B", str(_FOLDER / "_child.py"), "run", str(asked)]
        # In a session of its own: on Ctrl-C here it clears up, as it does wherever we end.
        with (
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True) as keeper,
            contextlib.ExitStack() as at_the_end,
        ):
            at_the_end.callback(keeper.terminate)
            last: deque[bytes] = deque(maxlen=_LAST_LINES)
            for line in keeper.stdout or ():
                if not line.startswith(mark.encode()):
                    last.append(line)
                    continue
                at = int(line.split()[-1])
                if line.startswith(f"{mark} ended".encode()):
                    result = {**_ended(checks[at], "", ""), **json.loads(Path(requests[at]["result"]).read_bytes())}
                    if result["outcome"] in {"fail", "error"}:
                        sys.stderr.buffer.write(b"".join(last))
                    yield result
                last.clear()


def _request(check: dict[str, Any], place: Path, context: dict[str, Any]) -> dict[str, Any]:
    scratch = place / "s"
    scratch.mkdir(parents=True)
    return {
        "check": check["name"],
        "deadline_s": check.get("deadline_s", 60.0),
        "warm": check.get("warm", ()),
        "verdict": f"{place}/verdict.json",
        "result": f"{place}/result.json",
        "context": {**context, "scratch": str(scratch)},
    }


def _ended(check: dict[str, Any], outcome: str, summary: str) -> dict[str, Any]:
    told: dict[str, Any] = {name: check[name] for name in ("weight", "proves", "every_gpu") if name in check}
    found: dict[str, Any] = {"evidence": {}, "seconds": 0.0, "figures": [], "gpus": []}
    return {"name": check["name"], "outcome": outcome, **told, "summary": summary, **found}


def _report(
    results: list[dict[str, Any]], promised: list[str], gpus: list[str], began: str
) -> tuple[dict[str, Any], int]:
    """The same document that `vllm-ready check --python` writes, and its exit code: skip is never pass."""
    outcomes = {result["name"]: result["outcome"] for result in results}
    kept = bool(promised) and all(outcomes[name] in {"pass", "warn"} for name in promised)
    kept = kept and not any(_untried(result, gpus) for result in results)
    verdict, code = ("verified", 0) if kept else ("undecided", 5)
    if "fail" in outcomes.values():
        verdict, code = "not verified", 1
    document = {"schema": "vllm-ready/report/1", "run": "", "started": began, "verdict": verdict, "exit_code": code}
    nothing: dict[str, Any] = {"host": {}, "plan": None, "generation": "", "steps": [], "owed": []}
    figures = [{**one, "check": result["name"]} for result in results for one in result["figures"]]
    told = [{**result, "measured": len(result["figures"])} for result in results]
    for each in told:
        del each["figures"]
    return {**document, **nothing, "promised": promised, "gpus": gpus, "checks": told, "figures": figures}, code


def _untried(result: dict[str, Any], gpus: list[str]) -> bool:
    """Whether it passed, is about every GPU, and was not tried on all that one process can try, beyond it or not."""
    about = result.get("every_gpu") and result["outcome"] in {"pass", "warn"}
    beyond = result["evidence"].get("beyond", {}) if result["gpus"] else {}
    return bool(about) and sorted([*result["gpus"], *beyond]) != sorted(tried_by_one(tuple(gpus)))


def _seen() -> dict[str, _Capability]:
    """The GPUs that are here: a container sees others in /proc, and has no device files for them."""
    exe = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    asked = [exe, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        told = []
    found: list[_Capability] = []
    for line in told:
        major, _, minor = line.strip().partition(".")
        found += [(int(major), int(minor))] if major.isdigit() and minor.isdigit() else []
    files = sum(path.name[len("nvidia") :].isdigit() for path in Path("/dev").glob("nvidia*"))
    return {str(number): capability for number, capability in enumerate(found or [None] * files)}


def _visible(here: Iterable[str]) -> list[str]:
    """But for what CUDA_VISIBLE_DEVICES leaves out; ValueError where it names what CUDA would not find."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = list(here)
    named = there if visible is None else [word.strip() for word in visible.split(",") if word.strip()]
    wrong = [name for name in named if name not in there and not _NAMED.fullmatch(name)]
    if wrong and there:
        raise ValueError(
            f"CUDA_VISIBLE_DEVICES={visible}: `{wrong[0]}` is no GPU of this host; there are: {', '.join(there)}"
        )
    return [name for name in named if name not in wrong]


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # nobody has replaced it
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
