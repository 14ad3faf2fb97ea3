"""`check`: tries checks on the current environment; `check list` says what each proves and needs."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from provision import terminal
from provision.engine import bring_up, generations, launch_checks, locks, verified
from provision.engine.wanted import Wanted
from provision.errors import CHECK_FAILED, DONE, WrongUsage
from provision.host import driver, gpus, pci_gpus, record
from provision.host._model import Fact, Host
from provision.plan._model import Plan
from provision.steps import Lock
from provision.verbs import _progress, _told, _wish
from provision.verbs._wish import Wish


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
    if generations.current(Path(wish.prefix)) is None:
        raise WrongUsage("there is no current environment to check", where=wish.prefix, hint="./setup.sh makes one")
    with locks.hold(Path(wish.prefix), "check", only_look=True):  # a run that changes things would make it fail
        return _verdict(wish, options)


def _verdict(wish: Wish, options: argparse.Namespace) -> int:
    place = (Path(wish.prefix) / generations.CURRENT).resolve()
    state = place / generations.STATE
    plan = msgspec.json.decode((state / "plan.json").read_bytes(), type=Plan)
    lock = msgspec.json.decode((state / "lock.json").read_bytes(), type=Lock)
    asked = tuple(options.names) or plan.checks
    with _progress.followed(options) as followed:
        used = plan.gpus.used if _has_gpus() else ()
        found = tuple(bring_up.check(plan, lock, str(place), asked, Path(wish.logs), followed, used))
    verdict, code = launch_checks.verdict(found, asked)
    came = bring_up.BroughtUp(generation=str(place), steps=(), checks=found, verdict=verdict, exit_code=code)
    told = _told.report(wish, Wanted(wish="", plan=plan, lock=lock, host_python=""), came)
    if code != DONE and set(asked) & set(plan.checks):
        with contextlib.suppress(OSError):  # whoever may only look cannot
            verified.withdraw(place)
    if code != DONE or set(plan.checks) <= set(asked):  # some of the checks passing is no news of the whole
        _told.everywhere(told, wish, {})
    if options.stream:
        options.stream.report = told
        return code
    if options.json:
        terminal.document(told)
        return code
    some = f": {len(found)} of the {len(plan.checks)} promised" if len(found) < len(plan.checks) else ""
    terminal.line(f"{verdict} (exit code {code}){some}")
    if code == CHECK_FAILED:
        terminal.note("./setup.sh puts back what is damaged and verifies it again")
    return code


def _has_gpus() -> bool:
    """Whether there is any sign of a GPU of NVIDIA: one that does not answer must fail, not be passed over."""
    signs: tuple[Fact[Any], ...] = (pci_gpus.FACT, gpus.FACT, driver.FACT)
    here = Host(record.record(network=False, paths={}, sources={}, facts=signs).readings)
    return any(here.known(sign) for sign in signs)
