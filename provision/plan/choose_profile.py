"""CUDA or CPU: never the CPU quietly where a GPU is there and does not answer."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.errors import WrongSetting
from provision.plan import dead_gpus
from provision.plan._model import Decision, Reasons
from provision.plan.situation import Situation
from provision.plan.versions import numbers


def choose(situation: Situation, catalogue: Catalogue) -> Decision | Reasons:
    """The profile with its reason, or what stands against any."""
    asked = situation.settings.profile
    if asked == "cpu":
        return _cpu(situation, "config asks for it")
    dead = dead_gpus.reasons(situation, catalogue)
    if dead:
        return dead
    if situation.gpus:
        return _with_gpus(situation)
    if situation.login_node:
        reason = (
            "a Slurm login node has no GPU by design: plan on a compute node, or ask for the CPU: --set profile=cpu"
        )
        return Reasons(subject="profile", reasons=(reason,))
    if asked == "cuda":
        return Reasons(subject="profile", reasons=("config asks for CUDA, and this host has no NVIDIA GPU",))
    return _cpu(situation, "no NVIDIA GPU on this host")


def _cpu(situation: Situation, because: str) -> Decision | Reasons:
    """The CPU, unless the settings ask for CUDA in another way."""
    wishes = situation.settings
    if isinstance(wishes.gpus, list) and wishes.profile != "cpu":
        raise WrongSetting(
            f"gpus: there is no GPU {next(iter(wishes.gpus), '')}", hint="this host has no GPU that can be used"
        )
    variant = wishes.torch.partition("+")[2]
    if wishes.cuda != "auto" or variant not in ("", "cpu"):
        wish = f"cuda: {wishes.cuda}" if wishes.cuda != "auto" else f"torch: {wishes.torch}"
        return Reasons(
            subject="profile",
            reasons=(f"`{wish}` in the settings is for a GPU, and this plan is for a CPU: {because}",),
        )
    return Decision(subject="profile", chosen="cpu", because=because)


def _with_gpus(situation: Situation) -> Decision | Reasons:
    if not numbers(situation.driver or ""):
        return Reasons(subject="driver", reasons=(f"`{situation.driver}` is no driver version such as 580.65.06",))
    cards = len({gpu.id.split(":", 1)[0] for gpu in situation.gpus})
    what = f"{cards} NVIDIA GPUs" if cards > 1 else "an NVIDIA GPU"
    return Decision(subject="profile", chosen="cuda", because=f"{what} and driver {situation.driver}")
