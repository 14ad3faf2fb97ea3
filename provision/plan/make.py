"""The planner: a pure function from host, settings, catalogue and refusals to a plan."""

from __future__ import annotations

import msgspec

from provision.catalog.rows import Catalogue
from provision.host._model import Host
from provision.plan import advice as changes
from provision.plan import choose_profile, dead_gpus, make_cpu, make_cuda, other_accelerators
from provision.plan._model import Plan, Reasons, Refusal, Unsupported
from provision.plan.optional import Chooser
from provision.plan.situation import gather
from provision.settings import Settings


def make(
    host: Host,
    settings: Settings,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...] = (),
    checks: tuple[str, ...] = (),
    *,
    optional: Chooser,
) -> Plan | Unsupported:
    """Return the plan for a host, or the reasons why there is none.

    `optional` chooses the optional package.
    """
    # Asked first: where one of these answers, no other fact matters.
    if refusal := other_accelerators.of_system(host, catalogue):
        return refusal
    if settings.profile != "cpu":
        cpu = msgspec.structs.replace(settings, profile="cpu")
        refusal = other_accelerators.of_accelerator(
            host, catalogue, lambda: make(host, cpu, catalogue, optional=optional)
        )
        if refusal:
            return refusal
    situation = gather(host, settings, catalogue)
    profile = choose_profile.choose(situation, catalogue)
    if isinstance(profile, Reasons):
        return Unsupported(
            unsupported=(profile,),
            advice=_without_settings(host, settings, catalogue, optional)
            if profile.subject == "profile"
            else dead_gpus.advice(situation, catalogue),
        )
    plan = make_cpu.plan if profile.chosen == "cpu" else make_cuda.plan
    return plan(situation, catalogue, profile, refusals, checks, optional)


def _without_settings(
    host: Host, settings: Settings, catalogue: Catalogue, optional: Chooser
) -> tuple[str, ...]:
    plain = Settings()
    names = tuple(
        name
        for name in ("profile", "cuda", "torch")
        if getattr(settings, name) != getattr(plain, name)
    )
    if not names:
        return ()
    free = msgspec.structs.replace(settings, **{name: getattr(plain, name) for name in names})
    # This cannot recurse again: the settings that led here are at their defaults.
    plan = make(host, free, catalogue, optional=optional)
    vllm = plan.packages["vllm"] if isinstance(plan, Plan) else None
    without = changes.in_words(names, settings)
    if vllm is None:
        return (f"remove {without} from the settings, or plan for a host with an NVIDIA GPU",)
    return (f"without {without} in the settings this host gets vLLM {vllm.version}",)
