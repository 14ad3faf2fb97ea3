"""Checks that the driver stays loaded on the GPUs while no process uses them."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    gpus = _host.with_field(_host.used_gpus(context), "persistence", "persistence mode")
    return Observation(
        _host.group_by_text(
            [(gpu["id"], "persistence mode is off") for gpu in gpus if not gpu["persistence"]]
        ),
        "persistence mode is on",
        {"persistence": {gpu["id"]: gpu["persistence"] for gpu in gpus}},
        "each start waits for the GPU, and its settings are lost in between: "
        "systemctl enable --now nvidia-persistenced",
    )


CHECK = _host.check(
    look,
    title="Persistence mode",
    proves="the driver stays loaded on every GPU while no process uses it",
    weight="should",
)
