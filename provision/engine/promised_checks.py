"""What an environment has to prove on a host, and the proof: the checks tried with all that is known of both."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from provision.doors import process
from provision.engine import environments, launch_checks, verified
from provision.engine.check_process import environment_of_a_check
from provision.engine.check_results import Tried
from provision.engine.integrity import survey
from provision.engine.launch_checks import CheckDone, CheckStarted, Context, Depth, Description
from provision.errors import WrongUsage
from provision.host import record
from provision.plan._model import Plan
from provision.steps.model import Lock

Checks = Callable[[CheckStarted | CheckDone], None]
# What `up` proves and what is promised: a proof that the next look at a host can repeat within a minute.
_PROMISED: Depth = "quick"


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """What a Python says of itself and of what is installed beside it.

    `command` is how it was started: a wrapper may set something that its `executable` lacks, or enter a container.
    """

    command: str = ""
    executable: str
    version: str
    prefix: str
    profile: str
    packages: dict[str, str]


def promised(plan: Plan, lock: Lock, depth: Depth = _PROMISED) -> tuple[str, ...]:
    """The checks that an environment of this plan and lock promises to pass on its host."""
    checks = _for(launch_checks.chosen(launch_checks.discover(), depth), plan.profile, plan.gpus.used)
    checks = [one for one in checks if _can(one, plan.profile, plan.gpus.capabilities)]
    return tuple(one.name for one in checks if all(lock.version(name) for name in one.needs.distributions))


def _for(checks: Iterable[Description], profile: str, gpus: Sequence[str]) -> list[Description]:
    fit = [one for one in checks if one.needs.profile in (None, profile) and not one.needs.serving]
    fit = [one for one in fit if all(any(map(shutil.which, tools.split())) for tools in one.needs.tools)]
    # What takes a GPU on a CUDA host runs on the CPU where that is the profile.
    return [one for one in fit if profile == "cpu" or len(_usable(one, gpus)) >= one.needs.gpus]


def _usable(check: Description, gpus: Sequence[str]) -> list[str]:
    """What needs several needs whole ones: a process sees one slice of MIG."""
    return [gpu for gpu in gpus if check.needs.gpus < 2 or ":" not in gpu]


def _can(check: Description, profile: str, capabilities: tuple[str, ...]) -> bool:
    """Whether the best of these GPUs can do what it tries; where nobody has told, it is to be tried."""
    if profile == "cpu" or not check.needs.capability or not capabilities:
        return True
    return max(tuple(map(int, cc.split("."))) for cc in capabilities) >= check.needs.capability


def ours(
    plan: Plan,
    lock: Lock,
    generation: str,
    names: Sequence[str],
    logs: Path,
    events: Checks,
    gpus: tuple[str, ...],
    facts: dict[str, Any],
) -> Tried:
    """Try the checks of these names on an environment of ours."""
    context = Context(
        profile=plan.profile,
        pins={pin.name: pin.version for pin in lock.pins},
        contents=survey.known_contents(Path(generation) / environments.STATE),
        gpus=gpus,
        promised=tuple(names),
        prefix=generation,
        launcher=f"{generation}/bin/vllm",
        facts=facts,
        earlier=_earlier(Path(generation)),
        plan=msgspec.to_builtins(plan),
    )
    known = [one for one in launch_checks.discover() if one.name in names]
    return launch_checks.run(f"{generation}/bin/python", known, context, logs, events)


def theirs(
    python: Interpreter,
    names: Sequence[str],
    logs: Path,
    events: Checks,
    gpus: tuple[str, ...],
    facts: dict[str, Any],
    serving: str = "",
) -> Tried:
    """Try them in any interpreter: nobody has planned or locked what it holds."""
    launcher = Path(python.prefix) / "bin" / "vllm"
    context = Context(
        profile="cpu" if python.profile == "cpu" else "cuda",
        gpus=gpus,
        promised=tuple(names),
        prefix=python.prefix,
        launcher=str(launcher) if launcher.exists() else "",
        facts=facts,
        serving=serving,
    )
    known = [one for one in launch_checks.discover() if one.name in names]
    return launch_checks.run(python.command, known, context, logs, events)


def expected(python: Interpreter, depth: Depth, gpus: Sequence[str], capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """The checks that whatever is to run vLLM has to pass, whoever made it; for CUDA a GPU belongs to that."""
    checks = _for(launch_checks.chosen(launch_checks.discover(), depth), python.profile, gpus or ("0",))
    checks = [one for one in checks if _can(one, python.profile, capabilities)]
    return tuple(one.name for one in checks if not one.needs.lock and not one.needs.distributions)


def of_servers() -> tuple[str, ...]:
    """The checks that look at a server from the outside."""
    return tuple(one.name for one in launch_checks.discover() if one.needs.serving)


def interpreter(executable: str) -> Interpreter:
    """Have it say what it is; WrongUsage where it is no Python that could try anything."""
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as work:
        answer = Path(work) / "python.json"
        argv = [executable, "-I", "-B", str(launch_checks.CHECKS / "_child.py"), "tell", str(answer)]
        told = process.run(argv, deadline_s=60, env=environment_of_a_check(work))
        try:
            found = msgspec.json.decode(answer.read_bytes(), type=Interpreter)
            return msgspec.structs.replace(found, command=executable)
        except (OSError, msgspec.DecodeError) as error:
            what = "it is not there" if told.missing else "it is no Python 3.10 or newer that starts"
            said = told.stderr.strip().splitlines()
            hint = f"it said: {said[-1]}" if said and not told.missing else ""
            raise WrongUsage(what, where=f"--python {executable}", hint=hint) from error


def facts_for(names: Iterable[str], places: dict[str, Path]) -> dict[str, Any]:
    """The host as it is now, where one of these checks wants to know."""
    if not any(one.needs.recording for one in launch_checks.discover() if one.name in set(names)):
        return {}
    return record.record(network=False, paths=places, sources={}).facts


def _earlier(generation: Path) -> dict[str, Any]:
    """The host as it was when this environment was last verified on it."""
    try:
        told = msgspec.json.decode(verified.report(generation) or b"{}")
        return dict(told["host"]["facts"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return {}
