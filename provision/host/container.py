"""The container that we run in: its engine, and whether Kubernetes runs it."""

from __future__ import annotations

import re

import msgspec

from provision.host import environment
from provision.host._model import Fact, File, Files, Readings

_MARKS = Files(
    (
        "/.dockerenv",
        "/run/.containerenv",
        "/.singularity.d",
        "/run/systemd/container",
        "/var/run/secrets/kubernetes.io/serviceaccount",
    )
)
_CGROUP = File("/proc/self/cgroup")

# The path of a control group under each engine; the innermost engine comes first.
_IN_CGROUP = (
    ("docker", r"/docker[/-]"),
    ("podman", r"/libpod[-_]"),
    ("cri-o", r"/crio-"),
    ("containerd", r"containerd"),
    ("lxc", r"/lxc[./]"),
)


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """`engine` is None outside a container, and "container" if the engine does not show."""

    engine: str | None = None
    kubernetes: bool = False


def parse(readings: Readings) -> Container:
    cgroup = readings.text(_CGROUP)  # every Linux has this file
    if ":" not in cgroup:
        raise ValueError("no control group listed")
    marks = msgspec.json.decode(readings.optional(_MARKS) or "{}", type=dict[str, str])
    is_set = (
        {name.upper() for name in environment.read(readings).set}
        if readings.optional(environment.SOURCE)
        else set[str]()
    )
    pod = (
        "kubepods" in cgroup
        or "KUBERNETES_SERVICE_HOST" in is_set
        or "/var/run/secrets/kubernetes.io/serviceaccount" in marks
    )
    return Container(engine=_engine(marks, cgroup, is_set, pod=pod), kubernetes=pod)


def _engine(marks: dict[str, str], cgroup: str, is_set: set[str], *, pod: bool) -> str | None:
    if "/.singularity.d" in marks or is_set & {"APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"}:
        return "apptainer"
    if "/run/.containerenv" in marks:
        return "podman"
    if "/.dockerenv" in marks:
        return "docker"
    if named := marks.get("/run/systemd/container", "").strip():
        return named
    unnamed = "container" if pod or "CONTAINER" in is_set else None
    return next((engine for engine, pattern in _IN_CGROUP if re.search(pattern, cgroup)), unnamed)


FACT = Fact[Container](sources=(_MARKS, _CGROUP, environment.SOURCE), parse=parse)
