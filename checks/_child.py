"""Started by path under `python -I`: tries checks, each in a process of its own, and leaves a file for each."""

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

# A name that no distribution has: a foreign top-level `checks` neither shadows ours nor is shadowed.
PACKAGE = "_vllm_ready_checks"
FOLDER = Path(__file__).parent


def main(arguments: list[str]) -> None:
    """`describe OUT` writes what every check declares, `tell OUT` what this Python is, `run REQUESTS` results.

    This process imports nothing foreign: whatever a check does, there is somebody left to tell of it.
    """
    _load_package()
    verb, path = arguments
    if verb == "describe":
        _write(Path(path), _part("_discover").descriptions(PACKAGE, FOLDER))
    elif verb == "tell":
        _write(Path(path), _told())
    else:
        _run(Path(path))


def _told() -> dict[str, Any]:
    installed = _part("_installed")
    return {
        "executable": sys.executable,
        "version": ".".join(map(str, sys.version_info[:3])),
        "prefix": sys.prefix,
        "profile": installed.built_for(),
        "packages": {name: versions[-1] for name, versions in installed.versions().items()},
    }


def _run(requests: Path) -> None:
    asked = json.loads(requests.read_bytes())
    requests.unlink()  # no body is to know the mark of our lines
    os.chdir(requests.parent)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as the driver's tools number GPUs; whoever has started us
    processes = _part("_processes")
    processes.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: _give_up(requests.parent))
    processes.die_with_parent(signal.SIGTERM)
    if keeper := os.fork():
        _outlive(keeper)
    processes.adopt_orphans()
    processes.die_with_parent(signal.SIGTERM)
    for part in ("_contract", "_discover", "_figures", "_watch"):
        _part(part)  # once, and not in every fork
    warm = None
    for at, request in enumerate(asked["requests"]):
        print(f"\n{asked['mark']} started {at}", flush=True)
        if request["warm"] and not warm:
            warm = _part("_warm").Warm(_try)
        _write(Path(request["result"]), _watched(request, warm))
        print(f"\n{asked['mark']} ended {at}", flush=True)
    if warm:
        warm.end()


def _watched(request: dict[str, Any], warm: Any) -> dict[str, Any]:
    watch = _part("_watch")
    began = time.monotonic()
    result: dict[str, Any] = watch.watch(
        lambda: (request["warm"] and warm.start(request)) or watch.Forked(lambda: _try(request)),
        float(request["deadline_s"]),
        Path(request["verdict"]),
        frozenset({warm.number} if warm else ()),
    )
    seconds = round(time.monotonic() - began, 3)
    shutil.rmtree(request["context"]["scratch"], ignore_errors=True)  # the next one, and the result, need the room
    return {**result, "seconds": seconds}


def _outlive(keeper: int) -> NoReturn:
    """End as the keeper does, and what it was keeping with it: it may be killed like anybody."""
    status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    _part("_processes").end_descendants(0.0)
    if status < 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _give_up(work: Path) -> NoReturn:
    """Whoever wanted the results is gone, and would have cleared up."""
    _part("_processes").end_descendants(0.0)
    shutil.rmtree(work, ignore_errors=True)
    os._exit(1)


def _load_package() -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    if not spec or not spec.loader:
        raise ImportError(f"{FOLDER} holds no checks")
    sys.modules[PACKAGE] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _part(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def _try(request: dict[str, Any]) -> None:
    """In the child: the claim of the body, or why there is none, goes into the verdict file."""
    faulthandler.enable()
    verdict, scratch, ours = Path(request["verdict"]), request["context"]["scratch"], os.getpid()

    def claimed(claim: dict[str, Any]) -> None:
        if os.getpid() == ours:  # a fork of the body that comes back out of it claims nothing
            _write(verdict, claim)

    try:
        os.chdir(scratch)
        os.environ["HOME"] = scratch
        claimed(_claim(request))
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are no verdict either
        traceback.print_exc()
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        claimed({"outcome": "error", "summary": last})
    sys.stdout.flush()


def _claim(request: dict[str, Any]) -> dict[str, Any]:
    contract = _part("_contract")
    check = _part("_discover").load(PACKAGE, request["check"])
    context = contract.Context(**request["context"])
    if reason := contract.unmet(check.needs, context):
        return {"outcome": "skip", "summary": reason}
    verdict = check.body(context)
    if not isinstance(verdict, contract.Verdict):
        raise TypeError(f"{check.name} claimed {verdict!r}, which is no Verdict")
    return {
        "outcome": "pass" if verdict.passed is True else "fail",
        "summary": verdict.summary,
        "evidence": verdict.evidence,
        "hint": verdict.hint,
        "figures": _part("_figures").plain(verdict.figures),
        "gpus": verdict.gpus,
    }


def _write(path: Path, document: object) -> None:
    """Aside and renamed: a reader finds a whole document or none. Of file names some bytes are no text."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(json.dumps(document, allow_nan=False, ensure_ascii=False).encode(errors="replace"))
    aside.replace(path)


# Processes that a body spawns import this file again.
if __name__ == "__main__":
    main(sys.argv[1:])
