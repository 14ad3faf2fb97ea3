"""`check`: tries checks on the current environment; `check list` says what each proves and needs."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import msgspec

from provision import terminal
from provision.engine import bring_up, generations, launch_checks, verified
from provision.engine.wanted import Wanted
from provision.errors import DONE, WrongUsage
from provision.plan._model import Plan
from provision.steps import Lock
from provision.verbs import _told, _wish
from provision.verbs._progress import Lines


def run(options: argparse.Namespace) -> int:
    known = launch_checks.discover()
    if options.names == ["list"]:
        return _listed(known, options)
    names = {one.name for one in known}
    wrong = [name for name in options.names if name not in names]
    if wrong:
        raise WrongUsage(f"there is no check `{wrong[0]}`", hint=f"there are: {', '.join(sorted(names))}")
    return _tried(options)


def _listed(known: list[launch_checks.Description], options: argparse.Namespace) -> int:
    if options.json:
        terminal.document([msgspec.to_builtins(one) for one in known])
        return DONE
    for one in known:
        needs = ", ".join(
            (*one.needs.packages, *([f"{one.needs.gpus} GPU where the profile is cuda"] if one.needs.gpus else []))
        )
        terminal.line(
            f"{one.name:<26}{one.weight:<8}{one.profile:<9}{one.proves}" + (f" (needs {needs})" if needs else "")
        )
    return DONE


def _tried(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    now = generations.current(Path(wish.prefix))
    if now is None:
        raise WrongUsage("there is no current environment to check", where=wish.prefix, hint="./setup.sh makes one")
    place = Path(wish.prefix) / now
    state = place / generations.STATE
    plan = msgspec.json.decode((state / "plan.json").read_bytes(), type=Plan)
    lock = msgspec.json.decode((state / "lock.json").read_bytes(), type=Lock)
    asked = tuple(options.names) or plan.checks
    lines = Lines(quiet=options.quiet or options.json)
    found = tuple(bring_up.check(plan, lock, str(place), asked, Path(wish.logs), lines.check))
    verdict, code = launch_checks.verdict(found, asked)
    came = bring_up.BroughtUp(generation=str(place), steps=(), checks=found, verdict=verdict, exit_code=code)
    told = _told.report(wish, Wanted(wish="", plan=plan, lock=lock, host_python=""), came)
    if code != DONE and set(asked) & set(plan.checks):
        with contextlib.suppress(OSError):  # what may only be read here is told all the same
            verified.withdraw(place)
    if code != DONE or set(plan.checks) <= set(asked):  # some of the checks passing is no news of the whole
        _told.everywhere(told, wish, {})
    if options.json:
        terminal.document({"verdict": verdict, "exit_code": code, "checks": found})
        return code
    some = f": {len(found)} of the {len(plan.checks)} promised" if len(found) < len(plan.checks) else ""
    terminal.line(f"{verdict} (exit code {code}){some}")
    if code != DONE:
        terminal.note("./setup.sh puts back what is damaged and verifies it again")
    return code
