"""Whether the driver keeps the GPUs awake while nobody uses them."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    gpus = _host.told(_host.used(context), "persistence", "persistence mode")
    off = [(gpu["id"], "persistence mode is off") for gpu in gpus if not gpu["persistence"]]
    evidence = {"persistence": {gpu["id"]: gpu["persistence"] for gpu in gpus}}
    hint = (
        "each start waits for the GPU, and its settings are lost in between: systemctl enable --now nvidia-persistenced"
    )
    return Found(_host.by_value(off), "persistence mode is on", evidence, hint)


CHECK = Check(
    name="persistence_mode",
    title="Persistence mode",
    proves="the driver stays loaded on every GPU while nobody uses it",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
