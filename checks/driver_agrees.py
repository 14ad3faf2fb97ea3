"""Checks that the loaded kernel module and the driver's user-space library have one version."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    driver = _host.fact(context.facts, "driver")
    loaded, library = driver["version"], driver["library"]
    if not library and _host.all_integrated(context):
        return Observation([], f"driver {loaded} is part of this board's system image", driver)
    problems = []
    if not library:
        problems.append(
            f"driver {loaded} is loaded, but its user-space library (libnvidia-ml.so.1) "
            "does not answer"
        )
    elif library != loaded:
        problems.append(
            f"the loaded kernel module is {loaded} and the user-space library {library}: "
            "CUDA refuses to start"
        )
    hint = "a reboot loads the module that is on disk; nvidia-smi must name one version afterwards"
    if _host.in_container(context.facts):
        hint = "give the container its GPUs through the NVIDIA Container Toolkit"
    return Observation(problems, f"kernel module and library are both {loaded}", driver, hint)


CHECK = _host.check(
    look,
    title="One driver version",
    proves="the loaded NVIDIA kernel module and the user-space driver have the same version",
    weight="must",
)
