"""The profile, CUDA or CPU: a GPU that does not answer never leads to a CPU plan by itself."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.errors import WrongSetting
from provision.plan import dead_gpus
from provision.plan._model import Decision, Reasons
from provision.plan.situation import Situation
from provision.plan.versions import numbers


def choose(situation: Situation, catalogue: Catalogue) -> Decision | Reasons:
    """Return the profile and its reason, or the reasons against both profiles."""
    requested = situation.settings.profile
    if requested == "cpu":
        return _cpu(situation, "the settings ask for it")
    # Before the CPU is considered: a silent GPU needs a repair, not a slow plan.
    if unusable := dead_gpus.reasons(situation, catalogue):
        return unusable
    if situation.gpus:
        return _with_gpus(situation)
    # Jobs run elsewhere: the hardware of this node says nothing about them.
    if situation.login_node:
        reason = (
            "this is a Slurm login node without a GPU: plan on a compute node, or add --set"
            " profile=cpu"
        )
        return Reasons(subject="profile", reasons=(reason,))
    if requested == "cuda":
        return Reasons(
            subject="profile",
            reasons=("the settings ask for CUDA, and this host has no NVIDIA GPU",),
        )
    return _cpu(situation, "this host has no NVIDIA GPU")


def _cpu(situation: Situation, because: str) -> Decision | Reasons:
    settings = situation.settings
    if isinstance(settings.gpus, list) and settings.profile != "cpu":
        raise WrongSetting(
            f"gpus: there is no GPU {next(iter(settings.gpus), '')}",
            hint="this host has no usable GPU: leave gpus at auto",
        )
    if settings.cuda != "auto" or settings.torch.partition("+")[2] not in ("", "cpu"):
        setting = (
            f"cuda: {settings.cuda}" if settings.cuda != "auto" else f"torch: {settings.torch}"
        )
        return Reasons(
            subject="profile",
            reasons=(
                f"`{setting}` in the settings is for a GPU, and this plan is for a CPU: {because}",
            ),
        )
    return Decision(subject="profile", chosen="cpu", because=because)


def _with_gpus(situation: Situation) -> Decision | Reasons:
    if not numbers(situation.driver or ""):
        return Reasons(
            subject="driver",
            reasons=(f"`{situation.driver}` is not a driver version such as 580.65.06",),
        )
    # MIG slices of one GPU have ids such as 0:0 and 0:1.
    cards = len({gpu.id.split(":", 1)[0] for gpu in situation.gpus})
    what = f"{cards} NVIDIA GPUs" if cards > 1 else "an NVIDIA GPU"
    return Decision(
        subject="profile", chosen="cuda", because=f"{what} and driver {situation.driver}"
    )
