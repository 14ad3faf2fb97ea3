"""Tries checks, each in a process of its own, and leaves one result file for each.

Started by path under `python -I`, so that no module of the environment can shadow ours.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

# A name that no distribution has: a foreign top-level `checks` and ours do not shadow each other.
PACKAGE = "_vllm_ready_checks"
FOLDER = Path(__file__).parent
Document = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Write what every check declares, what this Python is, or the results of a request.

    `describe OUT`, `tell OUT` or `run FOLDER/requests.json`. This process imports nothing
    foreign: whatever a check does, a process remains to report it.
    """
    _load_package()
    verb, path = arguments
    if verb == "describe":
        _write(Path(path), _module("_discover").descriptions(PACKAGE, FOLDER))
    elif verb == "tell":
        _write(Path(path), _interpreter())
    else:
        _run(Path(path))


def _interpreter() -> Document:
    installed = _module("_installed")
    return {
        "executable": sys.executable,
        "version": ".".join(map(str, sys.version_info[:3])),
        "prefix": sys.prefix,
        "profile": installed.built_for(),
        "packages": {name: versions[-1] for name, versions in installed.versions().items()},
    }


class _Request:
    """The checks to be tried, and the folder in which each has a numbered folder of its own."""

    def __init__(self, file: Path) -> None:
        request = json.loads(file.read_bytes())
        file.unlink()  # a body that could read the mark could forge our lines
        self.folder, self.mark, self.context = file.parent, request["mark"], request["context"]
        self.checks: list[Document] = request["checks"]

    def unfinished(self) -> list[int]:
        return [at for at in range(len(self.checks)) if not self.place(at, "result.json").exists()]

    def place(self, at: int, name: str) -> Path:
        return self.folder / str(at) / name

    def start(self, at: int) -> Document:
        """Announce a check, and return what the process of its body has to know."""
        check = self.checks[at]
        scratch = self.place(at, "s")  # a short name: sockets below it have at most 107 bytes
        scratch.mkdir(parents=True)
        self._announce("started", at)
        return {
            "check": check["name"],
            "imports": check.get("warm", ()),
            "claim": str(self.place(at, "claim.json")),
            "context": {**self.context, "scratch": str(scratch)},
        }

    def finish(self, at: int, claim: Document, seconds: float) -> None:
        # Its room is needed by the next check, and by the result.
        shutil.rmtree(self.place(at, "s"), ignore_errors=True)
        _write(
            self.place(at, "result.json"),
            _module("_conclude").result_document(self.checks[at], claim, seconds),
        )
        self._announce("ended", at)

    def give_up(self, at: int, summary: str) -> None:
        if not self.place(at, "").exists():
            self.start(at)
        self.finish(at, _module("_conclude").error_claim(summary), 0.0)

    def _announce(self, event: str, at: int) -> None:
        print(f"\n{self.mark} {event} {at}", flush=True)


def _run(file: Path) -> None:
    """Have a process try the checks; if a check kills it, have another one try the rest."""
    request = _Request(file)
    os.chdir(request.folder)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # number GPUs as the driver's tools do
    # Each check has a HOME of its own. What the driver compiles for one serves the next, too.
    os.environ.setdefault("CUDA_CACHE_PATH", os.path.expanduser("~/.nv/ComputeCache"))
    os.environ.setdefault("FLASHINFER_WORKSPACE_BASE", str(request.folder))
    processes = _module("_processes")
    processes.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: _stop(request.folder))
    processes.die_with_parent(signal.SIGTERM)
    supervisor = os.getpid()
    while waiting := request.unfinished():
        keeper = os.fork()
        if not keeper:
            signal.signal(signal.SIGTERM, lambda *_: _end_keeper(request.folder, supervisor))
            _try_each(request, waiting)
        status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
        processes.end_descendants(0.0)
        # Without its folder nothing can be finished, and the loop would not end.
        if not request.folder.exists():
            os._exit(1)
        # Each round finishes at least one check, so the loop ends.
        for at in request.unfinished()[:1]:
            how = _module("_watchdog").describe_end(status, "ended")
            request.give_up(at, f"the process that keeps the checks apart {how} during this check")


def _try_each(request: _Request, waiting: list[int]) -> NoReturn:
    """Try these checks one after the other, in a process that a check may kill."""
    processes = _module("_processes")
    processes.adopt_orphans()
    processes.die_with_parent(signal.SIGTERM)
    for name in ("_contract", "_conclude", "_discover", "_figures", "_watchdog"):
        _module(name)  # imported once here, and not in every fork
    preloaded = None
    try:
        for at in waiting:
            if problem := request.checks[at].get("problem"):
                request.give_up(at, problem)
                continue
            body = request.start(at)
            if body["imports"] and not preloaded:
                preloaded = _module("_preload").Preloaded(_try)
            began = time.monotonic()
            claim = _watched(body, float(request.checks[at].get("deadline_s", 300)), preloaded)
            request.finish(at, claim, round(time.monotonic() - began, 3))
        if preloaded:
            preloaded.end()
    except BaseException:  # noqa: BLE001 - this fork must not run on in the code of its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _watched(body: Document, deadline_s: float, preloaded: Any) -> Document:
    watchdog = _module("_watchdog")
    claim: Document = watchdog.watch(
        lambda: (body["imports"] and preloaded.start(body)) or watchdog.fork(lambda: _try(body)),
        deadline_s,
        Path(body["claim"]),
        frozenset({preloaded.number} if preloaded else ()),
    )
    return claim


def _stop(folder: Path) -> NoReturn:
    """End everything and clear up: the process that wanted the results is gone."""
    _module("_processes").end_descendants(0.0)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _end_keeper(folder: Path, supervisor: int) -> None:
    """End the keeper. The results stay for its supervisor, unless that is gone."""
    if os.getppid() != supervisor:
        _stop(folder)
    _module("_processes").end_descendants(0.0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _load_package() -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    if not spec or not spec.loader:
        raise ImportError(f"{FOLDER} holds no checks")
    sys.modules[PACKAGE] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def _try(body: Document) -> None:
    """Write the claim of a body, or the reason why it made none. Runs in the body's own process."""
    faulthandler.enable()
    file, scratch, process = Path(body["claim"]), body["context"]["scratch"], os.getpid()

    def write_claim(claim: Document) -> None:
        if os.getpid() == process:  # a fork made by the body that returns from it claims nothing
            _write(file, claim)

    try:
        os.chdir(scratch)
        os.environ["HOME"] = scratch
        write_claim(_claim(body))
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt decide nothing
        traceback.print_exc()
        summary = traceback.format_exception_only(type(error), error)[-1].strip()
        write_claim({"outcome": "error", "summary": summary})
    sys.stdout.flush()


def _claim(body: Document) -> Document:
    contract = _module("_contract")
    check = _module("_discover").load(PACKAGE, body["check"])
    context = contract.Context(**body["context"])
    if reason := contract.unmet_need(check.needs, context):
        return {"outcome": "skip", "summary": reason}
    verdict = check.body(context)
    if not isinstance(verdict, contract.Verdict):
        raise TypeError(f"{check.name} claimed {verdict!r}, which is no Verdict")
    return {
        "outcome": "pass" if verdict.passed is True else "fail",
        "summary": verdict.summary,
        "evidence": verdict.evidence,
        "hint": verdict.hint,
        "figures": _module("_figures").as_json(verdict.figures),
        "gpus": verdict.gpus,
    }


def _write(path: Path, document: object) -> None:
    """Write a file aside and rename it, so that a reader finds a whole document or none."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    # Names of files may hold bytes that are no text; they become "?".
    aside.write_bytes(
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode(errors="replace")
    )
    aside.replace(path)


# Processes that a body spawns import this file again.
if __name__ == "__main__":
    main(sys.argv[1:])
