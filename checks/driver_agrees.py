"""Whether the loaded kernel module and the driver's user-space library are of one version."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    driver = _host.fact(context.facts, "driver")
    loaded, library = driver["version"], driver["library"]
    if not library and _host.integrated(context):
        return Found([], f"driver {loaded} is part of this board's system image", driver)
    problems = []
    if not library:
        problems.append(f"driver {loaded} is loaded, and its user-space library (libnvidia-ml.so.1) answers nowhere")
    elif library != loaded:
        problems.append(
            f"the loaded kernel module is {loaded} and the user-space library {library}: CUDA refuses to start"
        )
    hint = (
        "give the container its GPUs through the NVIDIA Container Toolkit"
        if _host.in_container(context.facts)
        else "a reboot loads the module that is on disk; nvidia-smi must name one version afterwards"
    )
    return Found(problems, f"kernel module and library are both {loaded}", driver, hint)


CHECK = Check(
    name="driver_agrees",
    title="One driver version",
    proves="the loaded NVIDIA kernel module and the user-space driver are of the same version",
    step=10,
    weight="must",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
