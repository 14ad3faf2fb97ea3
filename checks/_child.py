"""Started by path under `python -I`: tries one check in a process of its own and writes how it ended to a file."""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

# A name that no distribution has: a foreign top-level `checks` neither shadows ours nor is shadowed.
PACKAGE = "_vllm_ready_checks"
FOLDER = Path(__file__).parent


def main(arguments: list[str]) -> None:
    """`describe OUT` writes what every check declares, `run REQUEST` the result of one."""
    _load_package()
    verb, path = arguments
    if verb == "describe":
        _write(Path(path), _part("_discover").descriptions(PACKAGE, FOLDER))
        return
    request: dict[str, Any] = json.loads(Path(path).read_text())
    result = _part("_watch").watch(lambda: _try(request), float(request["deadline_s"]), Path(request["verdict"]))
    _write(Path(request["result"]), result)


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
    verdict = Path(request["verdict"])
    try:
        _write(verdict, _claim(request))
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are no verdict either
        traceback.print_exc()
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        _write(verdict, {"outcome": "error", "summary": last})
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
    }


def _write(path: Path, document: object) -> None:
    """Aside and renamed: a reader finds a whole document or none."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(document, allow_nan=False))
    aside.replace(path)


# Processes that a body spawns import this file again.
if __name__ == "__main__":
    main(sys.argv[1:])
