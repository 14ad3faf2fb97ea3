"""Checks that the device files of the GPUs in use exist, and that this user may open them."""

from __future__ import annotations

import re
import shutil

from . import _host
from ._contract import Context
from ._host import Observation

_UVM = "/dev/nvidia-uvm"


def _comes_with_the_first_program(context: Context) -> bool:
    """Return whether the first CUDA program makes the file, as after a boot without udev's rule."""
    return not _host.in_container(context.facts) and shutil.which("nvidia-modprobe") is not None


def look(context: Context) -> Observation:
    usable = {row["path"]: row["usable"] for row in _host.fact(context.facts, "device_files")}
    evidence = {"device_files": usable}
    if _host.all_integrated(context):
        return Observation(
            [], "an integrated GPU, whose device files differ from board to board", evidence
        )
    windows = _host.optional_fact(context.facts, "wsl")
    present = [path for path in usable if re.fullmatch(r"/dev/nvidia\d+", path)]
    shared = ("/dev/dxg",) if windows else ("/dev/nvidiactl", _UVM)
    problems = [
        f"{path} is missing"
        for path in shared
        if path not in usable and not (path == _UVM and _comes_with_the_first_program(context))
    ]
    used = {gpu["id"] for gpu in _host.used_gpus(context)}
    if not windows and len(present) < len(used):
        problems.append(
            f"{len(present)} of the files /dev/nvidia0, 1, ... exist for {len(used)} GPUs"
        )
    problems += [
        f"this user may not open {path}"
        for path in (*shared, *present)
        if not usable.get(path, True)
    ]
    hint = (
        "nvidia-modprobe -c 0 -u as root creates them; "
        "this user must be in their group (often video or render)"
    )
    if _host.in_container(context.facts):
        hint = "the container was started without its GPUs or as a user who may not open them"
    return Observation(
        problems,
        f"the device files of {len(present) or len(used)} GPUs can be opened",
        evidence,
        hint,
    )


CHECK = _host.check(
    look,
    title="Device files",
    proves="the driver's device files exist, and this user may open them",
    weight="must",
)
