"""From the command line to a prediction: the model, the host, the release, the request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from provision.catalog import rows
from provision.errors import Failure, GpusInUse, NothingToProve, WrongUsage
from provision.fit import device, document, read_config, vllm_command
from provision.fit._model import GIB
from provision.host import assume, driver, gpu_processes, gpus, memory
from provision.options import SIZING, SIZING_SWITCHES
from provision.plan._model import Unsupported
from provision.plan.versions import allows
from provision.session import inputs, planning

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from provision.catalog.rows import Catalogue
    from provision.fit._model import Device, Model, Request
    from provision.fit.document import Fit
    from provision.fit.read_config import Found
    from provision.host._model import Host
    from provision.plan._model import Plan
    from provision.settings import Settings

_CPU_SPACE = "VLLM_CPU_KVCACHE_SPACE"


def predict(options: argparse.Namespace, environment: Mapping[str, str]) -> Fit:
    """Return the prediction that a command line asks for, with its proof if that is asked for."""
    if options.prove and options.host:
        raise WrongUsage(
            "--prove starts vLLM on this host, and --host names another one",
            hint="leave one of them out",
        )
    settings = inputs.settings(options)
    name, request, revision = _asked(options)
    request = _wanted(request, options)
    host = inputs.described_host(options) if options.host else _this_host()
    catalogue = rows.load()
    release, said = _release(options, settings, host, catalogue)
    kind, remarks = device.of_host(host, catalogue)
    found = read_config.find(name, revision)
    if options.exact:
        found = _counted(found, settings, environment)
    known_driver = host.known(driver.FACT)
    request = _for_cpu(request, kind, environment)
    now = _now(host, kind, found.model, request, release, catalogue)
    fit = document.make(
        found.model,
        kind,
        request,
        release,
        catalogue,
        source=found.source,
        driver=known_driver.version if known_driver else None,
        revision=found.revision,
        said=(*now, *remarks, *said, *found.said),
    )
    return _proved(fit, settings, host, found.config, environment) if options.prove else fit


def _now(
    host: Host,
    kind: Device,
    model: Model,
    request: Request,
    release: str,
    catalogue: Catalogue,
) -> tuple[str, ...]:
    """Return a prediction beside the processes that hold GPU memory; nothing on empty GPUs."""
    held: dict[str, float] = {}
    processes = host.known(gpu_processes.FACT) or ()
    for process in processes:
        held[process.id] = held.get(process.id, 0.0) + (process.memory_mib or 0) / 1024
    most = max(held.values(), default=0.0)
    if not most:
        return ()
    share = int((1 - most / kind.total) * 100 - 1) / 100  # vLLM itself needs a little outside
    names = ", ".join(sorted({process.name or str(process.pid) for process in processes}))
    held_now = f"now {names} hold up to {most:.1f} GiB of a GPU"
    if share <= 0:
        return (f"{held_now}: nothing is left beside them",)
    beside = msgspec.structs.replace(request, utilisation=share)
    fit = document.make(model, kind, beside, release, catalogue)
    tokens = f", {fit.kv.tokens.likely:.0f} tokens in the KV cache" if fit.kv else ""
    return (f"{held_now}: --gpu-memory-utilization {share:g} beside them: {fit.verdict}{tokens}",)


def _environment(settings: Settings) -> str:
    """Return the folder of the current environment; raise NothingToProve where there is none."""
    from provision.engine import environments

    prefix = os.path.join(inputs.checkout(), settings.prefix)
    current = environments.current_id(Path(prefix))
    if current is None:
        raise NothingToProve(
            "there is no environment whose vLLM could be used",
            where=prefix,
            hint="./setup.sh makes one",
        )
    return os.path.join(prefix, current)


def _counted(found: Found, settings: Settings, environment: Mapping[str, str]) -> Found:
    """Return the model with the size that vLLM's own code counts."""
    from provision.fit import exact

    script = os.path.join(inputs.checkout(), "checks", "_count_weights.py")
    place = _environment(settings)
    model, said = exact.counted(found.model, place, script, found.config, environment)
    return msgspec.structs.replace(found, model=model, said=(*found.said, said))


def _proved(
    fit: Fit, settings: Settings, host: Host, config: str, environment: Mapping[str, str]
) -> Fit:
    """Start vLLM of the current environment; raise where the GPUs are in use."""
    from provision.display import terminal
    from provision.fit import prove

    place = _environment(settings)
    if busy := host.known(gpu_processes.FACT):
        names = ", ".join(sorted({process.name or str(process.pid) for process in busy}))
        raise GpusInUse(
            f"other processes hold the GPUs: {names}", hint="end them, or prove it later"
        )
    return prove.prove(fit, place, config, environment, terminal.note)


def _asked(options: argparse.Namespace) -> tuple[str, Request, str]:
    """Return model, request and revision: of the command after `--`, or of our own flags."""
    flags = _flags(options)
    if not options.command:
        return options.model, vllm_command.of_flags(flags), options.revision or ""
    if flags:
        raise WrongUsage(
            f"{', '.join(flags)}: write it behind `vllm serve`, in the command to judge"
        )
    name, request, revision = vllm_command.parse(options.command)
    return name, request, options.revision or revision


def _flags(options: argparse.Namespace) -> dict[str, str]:
    """Return the sizing flags of our own command line, each with its value as it was written."""
    values = {flag: getattr(options, flag[2:].replace("-", "_")) for flag in SIZING}
    result = {flag: value for flag, value in values.items() if value is not None}
    for flag in SIZING_SWITCHES:
        if getattr(options, flag[2:].replace("-", "_")):
            result[flag] = ""
    return result


def _wanted(request: Request, options: argparse.Namespace) -> Request:
    context, concurrency = (
        vllm_command.positive(text) if text else None
        for text in (options.context, options.concurrency)
    )
    if context and request.max_model_len and request.max_model_len < context:
        raise WrongUsage(
            f"--context {context} is longer than --max-model-len {request.max_model_len}",
            hint="leave one of them out",
        )
    return msgspec.structs.replace(request, context=context, concurrency=concurrency)


def _this_host() -> Host:
    from provision.host import record

    return record.host_with((gpus.FACT, driver.FACT, memory.FACT, gpu_processes.FACT))


def _release(
    options: argparse.Namespace, settings: Settings, host: Host, catalogue: Catalogue
) -> tuple[str, tuple[str, ...]]:
    """Return the release to size for: the requested one, else that in use, else the plan's."""
    known = [release.version for release in catalogue.vllm]
    if options.prove and (current := _in_use(settings)):
        return current, ()
    plan = _plan(options, settings, host, catalogue)
    if settings.vllm != "latest":
        exact = settings.vllm.removeprefix("==")
        release = next((v for v in known if v == exact or allows(settings.vllm, v)), exact)
        said = f"vLLM {release} cannot be installed on this host; ./setup.sh plan says why"
        return release, (said,) if isinstance(plan, Unsupported) else ()
    if not options.host and (current := _in_use(settings)):
        return current, ()
    if plan is None:
        return known[0], (f"sized for vLLM {known[0]}, the newest that is known",)
    if isinstance(plan, Unsupported):
        said = f"no plan exists for this host, so this is sized for vLLM {known[0]}"
        return known[0], (said,)
    return plan.package("vllm").version, ()


def _plan(
    options: argparse.Namespace, settings: Settings, host: Host, catalogue: Catalogue
) -> Plan | Unsupported | None:
    """Return the plan of a described host; None where description or settings allow none."""
    if not options.host:
        return None
    try:
        return planning.make_plan(assume.complete(host, settings.python)[0], settings, catalogue)
    except Failure:
        return None


def _in_use(settings: Settings) -> str:
    """Return the release of the current environment, or ""."""
    from provision.session import run_report

    current = run_report.in_use(Path(inputs.checkout()) / settings.prefix)
    return current.plan.package("vllm").version if current else ""


def _for_cpu(request: Request, kind: Device, environment: Mapping[str, str]) -> Request:
    """Return the request with the space that a variable of vLLM's CPU build names."""
    space = environment.get(_CPU_SPACE, "")
    if not kind.cpu or request.kv_cache_bytes or not space.isdecimal() or not int(space):
        return request
    return msgspec.structs.replace(request, kv_cache_bytes=int(space) * GIB)
