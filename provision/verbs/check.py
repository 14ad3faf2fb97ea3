"""`check`: tries checks on the current environment, or on any Python; `check list` says what each proves and needs."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.display import progress, terminal
from provision.engine import environments, launch_checks, locks, promised_checks, verified
from provision.engine.launch_checks import Description
from provision.errors import CHECK_FAILED, DONE, WrongUsage
from provision.plan._model import Plan
from provision.report._model import Report
from provision.session import foreign_python, inputs, outputs, request, run_report
from provision.session.request import Wish
from provision.steps.model import Lock


def run(options: argparse.Namespace) -> int:
    known = launch_checks.discover()
    if options.names == ["list"]:
        return _listed(known, options)
    names = {one.name for one in known}
    wrong = [name for name in options.names if name not in names]
    if wrong:
        raise WrongUsage(f"there is no check `{wrong[0]}`", hint=f"there are: {', '.join(sorted(names))}")
    if options.python is not None or options.serving is not None:  # empty ones are a mistake, not ours
        return _ended(foreign_python.checked(options), options)
    wish = request.made(options)
    if environments.current(Path(wish.prefix)) is None:
        raise WrongUsage("there is no current environment to check", where=wish.prefix, hint="./setup.sh makes one")
    with locks.hold(Path(wish.prefix), "check", only_look=True):  # a run that changes things would make it fail
        told = checked(wish, options)
    return _ended(told, options, "./setup.sh puts back what is damaged and verifies it again")


def _listed(known: Sequence[Description], options: argparse.Namespace) -> int:
    if options.json:
        terminal.document([msgspec.to_builtins(one) for one in known])
        return DONE
    for one in known:
        needs = f" (needs {', '.join(said)})" if (said := _needs(one)) else ""
        terminal.line(f"{one.name:<26}{one.weight:<8}{one.profile:<9}{one.proves or one.problem}{needs}")
    return DONE


def _needs(one: Description) -> list[str]:
    needs = one.needs
    said = list(needs.packages)
    if needs.gpus:
        said.append(f"{needs.gpus} GPU{'s' * (needs.gpus > 1)} where vLLM is for CUDA")
    if needs.capability:
        said.append(f"compute capability {needs.capability[0]}.{needs.capability[1]}")
    said += [f"vLLM for {needs.profile}"] if needs.profile else []
    said += [f"{tools.partition(' ')[0]} on PATH" for tools in needs.tools]
    said += [f"{name} in the lock" for name in needs.distributions]
    said += ["the lock of the environment"] if needs.lock else []
    recording = "a recording of the host"
    said += [f"{recording}, or a plan where no GPU is" if needs.or_plan else recording] if needs.recording else []
    return said + (["--serving URL"] if needs.serving else [])


def checked(wish: Wish, options: argparse.Namespace) -> Report:
    """Try the checks that are asked for on what is current; the caller holds the prefix."""
    place = (Path(wish.prefix) / environments.CURRENT).resolve()
    found = run_report.stood(place)
    plan, lock = found.plan, found.lock
    asked = tuple(options.names) or _of_profile(plan, lock, options.profile)
    used = plan.gpus.used if foreign_python.has_gpus() else ()
    facts = promised_checks.facts_for(asked, inputs.paths(wish.settings))
    with progress.followed(options) as followed:
        tried = promised_checks.ours(plan, lock, str(place), asked, Path(wish.logs), followed, used, facts)
    told = run_report.of_checks(wish, tried, asked, used, facts, found)
    code = told.exit_code
    if code != DONE and set(asked) & set(plan.checks):
        with contextlib.suppress(OSError):  # whoever may only look cannot
            verified.withdraw(place)
    if code != DONE or set(plan.checks) <= set(asked):
        outputs.everywhere(told, wish)
    else:  # some of the checks passing is no news of the whole
        outputs.in_logs(told, wish)
    return told


def _of_profile(plan: Plan, lock: Lock, depth: launch_checks.Depth | None) -> tuple[str, ...]:
    return plan.checks if depth is None else promised_checks.promised(plan, lock, depth)


def _ended(told: Report, options: argparse.Namespace, hint: str = "") -> int:
    """Say the verdict in the way that was asked for."""
    if options.stream:
        options.stream.report = told
    elif options.json:
        terminal.document(told)
    else:
        terminal.line(f"{told.verdict} (exit code {told.exit_code}){f': {told.part}' if told.part else ''}")
        if told.exit_code == CHECK_FAILED and hint:
            terminal.note(hint)
    return told.exit_code
