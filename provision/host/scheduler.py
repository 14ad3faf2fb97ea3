"""The scheduler around us: Slurm (a job, a node, a login node) or Kubernetes (a pod)."""

from __future__ import annotations

from typing import Literal

import msgspec

from provision.host import environment
from provision.host._model import Fact, Missing, Probe, Readings, Unread

_SCHEDULER = Probe("scheduler")


class Scheduler(msgspec.Struct, frozen=True, kw_only=True):
    """A login node has Slurm's commands and no slurmd: it has no GPU by design."""

    name: Literal["slurm", "kubernetes"]
    place: Literal["job", "node", "login", "pod"]


class _Commands(msgspec.Struct, frozen=True):
    slurm_commands: bool
    slurmd: bool


def parse(readings: Readings) -> Scheduler:
    is_set = environment.read(readings).set if readings.optional(environment.SOURCE) else []
    if "SLURM_JOB_ID" in is_set:
        return Scheduler(name="slurm", place="job")
    if "KUBERNETES_SERVICE_HOST" in is_set:
        return Scheduler(name="kubernetes", place="pod")
    commands = msgspec.json.decode(readings.text(_SCHEDULER), type=_Commands)
    if commands.slurmd:
        return Scheduler(name="slurm", place="node")
    if commands.slurm_commands:  # a configuration file is no sign: the controller may distribute it
        return Scheduler(name="slurm", place="login")
    raise Unread(Missing(why="absent", detail="neither Slurm nor Kubernetes"))


FACT = Fact[Scheduler](sources=(_SCHEDULER, environment.SOURCE), parse=parse)
