"""Choose the checks that an environment promises to pass, and run them with all that is known."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from provision.doors import process
from provision.engine import environments, launch_checks, verified
from provision.engine.check_process import environment_of_a_check
from provision.engine.integrity import wrong_records
from provision.engine.launch_checks import CheckContext, CheckDescription, Depth
from provision.errors import WrongUsage
from provision.events import CheckDone, CheckStarted
from provision.host import record
from provision.plan._model import Plan
from provision.results import CheckResults
from provision.steps.model import Lock

CheckSubscriber = Callable[[CheckStarted | CheckDone], None]
# The depth of what `up` promises: checks that a later run can repeat within a minute.
_PROMISED: Depth = "quick"


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python interpreter and the packages installed with it, as it reports them.

    `command` is how it was started. It may differ from `executable`: a wrapper may set variables or
    enter a container.
    """

    command: str = ""
    executable: str
    version: str
    prefix: str
    profile: str
    packages: dict[str, str]


def choose_promised(plan: Plan, lock: Lock, depth: Depth = _PROMISED) -> tuple[str, ...]:
    """Return the checks that an environment of this plan and lock promises to pass on its host."""
    return tuple(
        check.name
        for check in _applicable(depth, plan.profile, plan.gpus.used, plan.gpus.capabilities)
        if all(map(lock.version, check.needs.distributions))
    )


def choose_expected(
    python: Interpreter, depth: Depth, gpus: Sequence[str], capabilities: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the checks that any Python with vLLM should pass.

    A vLLM for CUDA needs a GPU: without one, the checks of GPUs are expected and skipped.
    """
    # Any one GPU stands for those that this host lacks.
    return tuple(
        check.name
        for check in _applicable(depth, python.profile, gpus or ("0",), capabilities)
        if not check.needs.lock and not check.needs.distributions
    )


def server_checks() -> tuple[str, ...]:
    return tuple(check.name for check in launch_checks.discover() if check.needs.serving)


def _applicable(
    depth: Depth, profile: str, gpus: Sequence[str], capabilities: tuple[str, ...]
) -> list[CheckDescription]:
    return [
        check
        for check in launch_checks.select(launch_checks.discover(), depth)
        if check.needs.profile in (None, profile)
        and not check.needs.serving
        and all(any(map(_has_tool, tools.split())) for tools in check.needs.tools)
        # On a CPU profile the checks of GPUs run on the CPU.
        and (profile == "cpu" or _has_gpus(check, gpus, capabilities))
    ]


def _has_gpus(check: CheckDescription, gpus: Sequence[str], capabilities: tuple[str, ...]) -> bool:
    # One process sees one MIG slice: several GPUs must be whole ones.
    usable = [gpu for gpu in gpus if check.needs.gpus < 2 or ":" not in gpu]
    if len(usable) < check.needs.gpus:
        return False
    least, most = check.needs.capability or (0, 0), check.needs.most_capability or (99, 0)
    known = [tuple(map(int, capability.split("."))) for capability in capabilities]
    return not known or any(least <= own <= most for own in known)  # else the check finds out


def _has_tool(word: str) -> bool:
    """Return whether a command is on PATH; "$CC" is the command in the variable CC."""
    if word.startswith("$"):
        word = next(iter(os.environ.get(word[1:], "").split()), "")
    return bool(word and shutil.which(word))


def check_environment(
    plan: Plan,
    lock: Lock,
    environment: str,
    names: Sequence[str],
    logs: Path,
    events: CheckSubscriber,
    gpus: tuple[str, ...],
    facts: dict[str, Any],
) -> CheckResults:
    """Run the named checks on an environment that was built here."""
    folder = Path(environment)
    context = CheckContext(
        profile=plan.profile,
        pins={pin.name: pin.version for pin in lock.pins},
        contents=wrong_records.read_true_digests(folder / environments.STATE),
        gpus=gpus,
        promised=tuple(names),
        prefix=environment,
        launcher=f"{environment}/bin/vllm",
        facts=facts,
        earlier=_earlier_facts(folder),
        plan=msgspec.to_builtins(plan),
    )
    return _run(f"{environment}/bin/python", names, context, logs, events)


def check_interpreter(
    python: Interpreter,
    names: Sequence[str],
    logs: Path,
    events: CheckSubscriber,
    gpus: tuple[str, ...],
    facts: dict[str, Any],
    serving: str = "",
) -> CheckResults:
    """Run the named checks in any interpreter, without a plan or lock."""
    launcher = Path(python.prefix) / "bin" / "vllm"
    context = CheckContext(
        profile="cpu" if python.profile == "cpu" else "cuda",
        gpus=gpus,
        promised=tuple(names),
        prefix=python.prefix,
        launcher=str(launcher) if launcher.exists() else "",
        facts=facts,
        serving=serving,
    )
    return _run(python.command, names, context, logs, events)


def _run(
    python: str, names: Sequence[str], context: CheckContext, logs: Path, events: CheckSubscriber
) -> CheckResults:
    checks = [check for check in launch_checks.discover() if check.name in names]
    return launch_checks.run(python, checks, context, logs, events)


def inspect_interpreter(executable: str) -> Interpreter:
    """Start an interpreter and have it describe itself.

    Raise WrongUsage if it is not a Python that can run checks.
    """
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as work:
        answer = Path(work) / "python.json"
        child = str(launch_checks.CHECKS / "_child.py")
        argv = [executable, "-I", "-B", child, "tell", str(answer)]
        finished = process.run(argv, deadline_s=60, env=environment_of_a_check(work))
        try:
            return msgspec.structs.replace(
                msgspec.json.decode(answer.read_bytes(), type=Interpreter), command=executable
            )
        except (OSError, ValueError) as error:
            problem = (
                "there is no such file"
                if finished.missing
                else "this is no working Python 3.10 or newer"
            )
            output = finished.stderr.strip().splitlines()
            raise WrongUsage(
                problem,
                where=f"--python {executable}",
                hint=f"its last output: {output[-1]}" if output and not finished.missing else "",
            ) from error


def record_facts(names: Iterable[str], places: dict[str, Path]) -> dict[str, Any]:
    """Record the facts of this host, if one of the named checks needs them."""
    chosen = set(names)
    if not any(check.needs.recording for check in launch_checks.discover() if check.name in chosen):
        return {}
    return record.record(network=False, paths=places, sources={}).facts


def _earlier_facts(environment: Path) -> dict[str, Any]:
    try:
        report = msgspec.json.decode(verified.read_report(environment) or b"{}")
        return dict(report["host"]["facts"])
    except (ValueError, KeyError, TypeError):
        return {}
