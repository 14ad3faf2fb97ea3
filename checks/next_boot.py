"""Whether the next reboot brings the same driver back: the module on disk, and one for the newest kernel."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    driver = _host.fact(context.facts, "driver")
    loaded, on_disk = driver["version"], driver["on_disk"]
    if _host.known(context.facts, "wsl"):
        return Found([], "the driver is that of Windows", driver)
    kernels = _host.known(context.facts, "kernel_modules") or []
    newest = kernels[0] if kernels else {"kernel": "", "nvidia": False}
    problems = []
    if on_disk and on_disk != loaded:
        problems.append(f"driver {loaded} is loaded, and the next boot loads {on_disk}")
    if kernels and not newest["nvidia"]:
        problems.append(f"the newest installed kernel, {newest['kernel']}, has no nvidia module: no GPU after a reboot")
    if not problems and not (on_disk and kernels):
        where = "from inside this container" if _host.in_container(context.facts) else "here"
        what = "the installed kernels" if on_disk else "the module on disk"
        raise _host.Unread(f"what the next boot loads cannot be seen {where}: {what} could not be read")
    hint = "finish the driver's upgrade (reboot when it suits), or build the module: dkms autoinstall -k KERNEL"
    holds = f"the next boot loads driver {on_disk} again, with kernel {newest['kernel']}"
    return Found(problems, holds, {"driver": driver, "kernels": kernels}, hint)


CHECK = Check(
    name="next_boot",
    title="Next reboot",
    proves="a reboot loads the driver that is loaded now, and the newest installed kernel has a module of it",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
