"""Host + Settings + Catalogue + refusals -> Plan, or the reasons why there is none. Pure."""

from __future__ import annotations

import msgspec

from provision.catalog.rows import Catalogue
from provision.host import machine
from provision.host._model import Host
from provision.plan import advice as changes
from provision.plan import choose_profile, dead_gpus, make_cpu, make_cuda
from provision.plan._model import Plan, Reasons, Refusal, Unsupported
from provision.plan.optional import Chooser
from provision.plan.situation import gather
from provision.settings import Settings

_INSTEAD = {
    "Windows": ": use WSL 2 there, which takes the driver of Windows, and run this inside it",
    "macOS": ": vLLM for NVIDIA GPUs runs on Linux only",
}


def make(
    host: Host,
    settings: Settings,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...] = (),
    checks: tuple[str, ...] = (),
    *,
    optional: Chooser,
) -> Plan | Unsupported:
    """The plan for a host; `optional` chooses the optional package."""
    if (here := host.known(machine.FACT)) not in (None, "x86_64", "aarch64"):  # whatever else is known of it
        reason = f"vLLM publishes nothing for {here}{_INSTEAD.get(here or '', '')}"
        return Unsupported(unsupported=(Reasons(subject="machine", reasons=(reason,)),), advice=())
    situation = gather(host, settings, catalogue)
    profile = choose_profile.choose(situation, catalogue)
    if isinstance(profile, Reasons):
        wished = profile.subject == "profile"
        if wished:
            advice = _without_wishes(host, settings, catalogue, optional)
        else:
            advice = dead_gpus.advice(situation, catalogue)
        return Unsupported(unsupported=(profile,), advice=advice)
    plan = make_cpu.plan if profile.chosen == "cpu" else make_cuda.plan
    return plan(situation, catalogue, profile, refusals, checks, optional)


def _without_wishes(host: Host, settings: Settings, catalogue: Catalogue, optional: Chooser) -> tuple[str, ...]:
    """What this host gets without the settings that ask for a GPU."""
    plain = Settings()
    wished = tuple(name for name in ("profile", "cuda", "torch") if getattr(settings, name) != getattr(plain, name))
    free = msgspec.structs.replace(settings, **{name: getattr(plain, name) for name in wished})
    made = make(host, free, catalogue, optional=optional) if wished else None
    vllm = made.packages["vllm"] if isinstance(made, Plan) else None
    if vllm is None:
        return ()
    return (f"without {changes.in_words(wished, settings)} in the settings this host gets vLLM {vllm.version}",)
