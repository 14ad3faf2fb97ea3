"""Whether the driver's device files are there for the GPUs that are used, and this user may open them."""

from __future__ import annotations

import re

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    files = {each["path"]: each["usable"] for each in _host.fact(context.facts, "device_files")}
    evidence = {"device_files": files}
    if _host.integrated(context):
        return Found([], "an integrated GPU, whose device files differ from board to board", evidence)
    gpus = [path for path in files if re.fullmatch(r"/dev/nvidia\d+", path)]
    shared = ("/dev/dxg",) if _host.known(context.facts, "wsl") else ("/dev/nvidiactl", "/dev/nvidia-uvm")
    problems = [f"{path} is missing" for path in shared if path not in files]
    wanted = {gpu["id"] for gpu in _host.used(context)}
    if not _host.known(context.facts, "wsl") and len(gpus) < len(wanted):
        problems.append(f"there are {len(gpus)} of /dev/nvidia0, 1, ... for {len(wanted)} GPUs")
    problems += [f"this user may not open {path}" for path in (*shared, *gpus) if not files.get(path, True)]
    hint = "nvidia-modprobe -c 0 -u as root makes them; their group (often video or render) must be yours"
    if _host.in_container(context.facts):
        hint = "the container was started without its GPUs or as a user who may not open them"
    return Found(problems, f"the device files of {len(gpus) or len(wanted)} GPUs can be opened", evidence, hint)


CHECK = Check(
    name="gpu_device_files",
    title="Device files",
    proves="the driver's device files are there, and this user may open them",
    step=10,
    weight="must",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
