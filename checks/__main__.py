"""Run checks by hand in this interpreter: `python -m checks list` or `run NAME…`."""

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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import _conclude, _discover, _installed
from ._contract import Context, Needs, unmet_need

_FOLDER = Path(__file__).parent
_DEPTHS = ("passive", "quick", "full")
_Capability = Any  # (major, minor), or None if it is not known
_LAST_LINES = 40
_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    known = _discover.descriptions(__package__, _FOLDER)
    if unknown := sorted(set(options.names) - {check["name"] for check in known}):
        parser.error(f"no check is named {' or '.join(unknown)}")
    checks = [check for check in known if _is_chosen(check, options)]
    if options.verb == "list":
        for check in checks:
            _print(f"{check['name']:<26}{check.get('proves') or check['problem']}")
        return _save(options.json, checks, 0)
    capabilities = _capabilities()
    try:
        context = {
            "profile": _installed.built_for(),
            "gpus": _visible(capabilities),
            **_context(options.context),
        }
        if options.json:
            open(options.json, "a").close()  # refused now, and not after an hour
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    documents = []
    for document in _results(checks, context):
        documents.append(document)
        result = document["result"]
        _print(
            f"{result['outcome']:<6}{result['name']:<26}{result['seconds']:>7.1f} s  "
            f"{result['summary']}"
        )
    expected = [check["name"] for check in checks if _is_expected(check, context, capabilities)]
    promised, gpus = options.names or expected, list(context["gpus"])
    return _save(options.json, *_conclude.report(documents, promised, gpus, started))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("verb", choices=["list", "run"])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="checks; default: all of the profile"
    )
    parser.add_argument("--profile", choices=_DEPTHS, default="quick", help="default: quick")
    parser.add_argument("--json", metavar="FILE", help="write the report to this file")
    parser.add_argument(
        "--context", metavar="FILE", help="a context for the checks as JSON: pins, gpus, profile"
    )
    return parser


def _context(path: str | None) -> dict[str, Any]:
    context = json.loads(Path(path).read_bytes()) if path else {}
    if not isinstance(context, dict):
        raise TypeError(f"{path} is no context of a check: it holds no object")
    example = json.loads(json.dumps(asdict(Context(profile="cpu", scratch=""))))
    wrong = [
        name for name, value in context.items() if not isinstance(value, type(example.get(name)))
    ]
    if wrong:
        raise ValueError(f"{path} is no context of a check: {', '.join(wrong)}")
    return context


def _print(line: str) -> None:
    """Print one line without characters that steer a terminal."""
    try:
        print("".join(char if char.isprintable() else " " for char in line), flush=True)
    except BrokenPipeError:
        # The reader has ended (| head). The remaining checks are tried all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_chosen(check: dict[str, Any], options: argparse.Namespace) -> bool:
    if options.names:
        return check["name"] in options.names
    depth = _DEPTHS.index(check.get("profile", "passive"))
    return options.verb == "list" or depth <= _DEPTHS.index(options.profile)


def _is_expected(
    check: dict[str, Any], context: dict[str, Any], capabilities: dict[str, _Capability]
) -> bool:
    """Return whether every environment for vLLM has to pass a check on this host.

    A check that needs a lock, a recording or a server is skipped here, and decides nothing.
    """
    needs = Needs(**check.get("needs", {}))
    if needs.lock or needs.distributions or needs.recording or needs.serving:
        return False
    # Without any GPU a vLLM for CUDA has proved nothing, so what needs one GPU is expected.
    used = replace(Context(**{**context, "scratch": ""}), gpus=tuple(context["gpus"]) or ("0",))
    known = [capability for capability in capabilities.values() if capability]
    if known and used.profile != "cpu" and max(known) < tuple(needs.capability or (0, 0)):
        return False
    # Without vLLM itself its checks are skipped, which leaves the run undecided, as it should.
    return not unmet_need(replace(needs, packages=(), capability=None), used)


def _save(path: str | None, document: object, status: int) -> int:
    if path:
        Path(path).write_text(json.dumps(document, indent=1) + "\n")
    return status


def _results(checks: list[dict[str, Any]], context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Have `_child.py` try the checks, as `vllm-ready` does, and yield each result document."""
    # Checks that need torch follow those that do not, and those of vLLM come last: each is
    # imported once for all.
    checks = sorted(checks, key=lambda check: len(check.get("warm", ())))
    finished = set()
    with tempfile.TemporaryDirectory(prefix="vllm-ready-", ignore_cleanup_errors=True) as folder:
        for at in _finished(checks, context, Path(folder)):
            finished.add(at)
            yield json.loads(Path(folder, str(at), "result.json").read_bytes())
    for at, check in enumerate(checks):
        if at not in finished:  # a check has killed even the process that outlives the others
            yield _conclude.result_document(
                check, _conclude.error_claim("the process that tries the checks ended"), 0.0
            )


def _finished(checks: list[dict[str, Any]], context: dict[str, Any], folder: Path) -> Iterator[int]:
    """Run `_child.py` on a request and yield the number of each check as it ends."""
    file, mark = folder / "requests.json", secrets.token_hex(16)
    file.write_text(json.dumps({"mark": mark, "context": context, "checks": checks}))
    argv = [sys.executable, "-I", "-B", str(_FOLDER / "_child.py"), "run", str(file)]
    # In a session of its own, so that Ctrl-C reaches only this process, which has it clear up.
    with (
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        ) as child,
        contextlib.ExitStack() as cleanup,
    ):
        cleanup.callback(child.terminate)
        output: deque[bytes] = deque(maxlen=_LAST_LINES)
        for line in child.stdout or ():
            if not line.startswith(mark.encode()):
                output.append(line)
                continue
            at = int(line.split()[-1])
            if line.startswith(f"{mark} ended".encode()):
                result = json.loads(Path(folder, str(at), "result.json").read_bytes())["result"]
                if result["outcome"] in {"fail", "warn", "error"}:
                    sys.stderr.buffer.write(b"".join(output))
                yield at
            output.clear()


def _capabilities() -> dict[str, _Capability]:
    """Return the compute capability of each GPU here by its number, None if it is not known."""
    exe = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    argv = [exe, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        text = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        text = ""
    pairs = re.findall(r"^\s*(\d+)\.(\d+)\s*$", text, re.MULTILINE)
    known: list[_Capability] = [(int(major), int(minor)) for major, minor in pairs]
    # A container sees the GPUs of the whole host in /proc, but device files only of its own.
    files = sum(path.name[len("nvidia") :].isdigit() for path in Path("/dev").glob("nvidia*"))
    return {str(number): capability for number, capability in enumerate(known or [None] * files)}


def _visible(numbers: Iterable[str]) -> list[str]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves. Raise ValueError for an unknown one."""
    variable, present = os.environ.get("CUDA_VISIBLE_DEVICES"), list(numbers)
    if variable is None:
        return present
    names = [word.strip() for word in variable.split(",") if word.strip()]
    wrong = [name for name in names if name not in present and not _UUID.fullmatch(name)]
    if wrong and present:
        raise ValueError(
            f"CUDA_VISIBLE_DEVICES={variable}: `{wrong[0]}` is no GPU of this host; there are: "
            f"{', '.join(present)}"
        )
    return [name for name in names if name not in wrong]


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is the real stdout
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
