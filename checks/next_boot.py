"""Checks that a reboot loads the same driver, and that the newest kernel has a module of it."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation

_HINT = (
    "finish the driver's upgrade (reboot when it suits), "
    "or build the module: dkms autoinstall -k KERNEL"
)


def look(context: Context) -> Observation:
    driver = _host.fact(context.facts, "driver")
    loaded, on_disk = driver["version"], driver["on_disk"]
    if _host.optional_fact(context.facts, "wsl"):
        return Observation([], "the driver is that of Windows", driver)
    kernels = _host.optional_fact(context.facts, "kernel_modules") or []
    newest = kernels[0] if kernels else {"kernel": "", "nvidia": False}
    problems = []
    if on_disk and on_disk != loaded:
        problems.append(f"driver {loaded} is loaded, and the next boot loads {on_disk}")
    if kernels and not newest["nvidia"]:
        problems.append(
            f"the newest installed kernel, {newest['kernel']}, has no nvidia module: "
            "no GPU after a reboot"
        )
    if not problems and not (on_disk and kernels):
        where = "from inside this container" if _host.in_container(context.facts) else "here"
        source = "the installed kernels" if on_disk else "the module on disk"
        raise _host.UnreadableFact(
            f"the driver of the next boot cannot be seen {where}: {source} could not be read"
        )
    return Observation(
        problems,
        f"the next boot loads driver {on_disk} again, with kernel {newest['kernel']}",
        {"driver": driver, "kernels": kernels},
        _HINT,
    )


CHECK = _host.check(
    look,
    title="Next reboot",
    proves="a reboot loads the driver that is loaded now, "
    "and the newest installed kernel has a module of it",
    weight="should",
)
