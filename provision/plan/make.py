"""Host + Settings + Catalogue + refusals -> Plan, or the reasons why there is none. Pure."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.host._model import Host
from provision.plan import choose_profile, dead_gpus, make_cpu, make_cuda
from provision.plan._model import Plan, Reasons, Refusal, Unsupported
from provision.plan.situation import gather
from provision.settings import Settings

_INSTEAD = {"Windows": ": use WSL 2 there, which takes the driver of Windows, and run this inside it"}


def make(
    host: Host,
    settings: Settings,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...] = (),
    checks: tuple[str, ...] = (),
) -> Plan | Unsupported:
    """The plan for a host."""
    situation = gather(host, settings, catalogue)
    if situation.machine not in ("x86_64", "aarch64"):
        reason = f"vLLM publishes nothing for {situation.machine}{_INSTEAD.get(situation.machine, '')}"
        return Unsupported(unsupported=(Reasons(subject="machine", reasons=(reason,)),), advice=())
    profile = choose_profile.choose(situation, catalogue)
    if isinstance(profile, Reasons):
        return Unsupported(
            unsupported=(profile,),
            advice=dead_gpus.advice(situation, catalogue) if profile.subject in ("GPUs", "driver") else (),
        )
    plan = make_cpu.plan if profile.chosen == "cpu" else make_cuda.plan
    return plan(situation, catalogue, profile, refusals, checks)
