"""The processor: model, cores, CPU quota, vector instructions that matter to vLLM, NUMA nodes."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Command, Fact, File, Files, Probe, Readings

_CPUINFO = File("/proc/cpuinfo")
_LSCPU = Command(("lscpu",))
_NODES = Files(("/sys/devices/system/node/node[0-9]*",))
_CGROUP = Probe("cgroup_cpu")

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile")


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """One processor model.

    `cores` are physical cores. `flags` holds only those that change a decision (FLAGS), or None if
    no source lists them. `quota` is the tightest quota of our control group and its parents, in
    CPUs; None means no quota.
    """

    model: str | None = None
    cores: int | None = None
    flags: tuple[str, ...] | None = None
    numa_nodes: int | None = None
    quota: float | None = None

    @property
    def usable(self) -> int | None:
        if self.cores is None or self.quota is None:
            return self.cores
        return max(1, min(self.cores, int(self.quota)))


class _CpuGroup(msgspec.Struct, frozen=True):
    quotas: list[str] = []


def parse(readings: Readings) -> Cpu:
    processors = _processors(readings.text(_CPUINFO))
    if not processors:
        raise ValueError("no processor listed")
    lscpu = dict(_pairs(readings.optional(_LSCPU) or ""))
    first, nodes = processors[0], readings.optional(_NODES)
    flags = first.get("flags") or lscpu.get("Flags")
    return Cpu(
        model=first.get("model name")
        or lscpu.get("Model name")
        or None,  # on Arm only lscpu has the name
        cores=_cores(processors),
        flags=known_flags(flags) if flags else None,
        numa_nodes=len(msgspec.json.decode(nodes, type=dict[str, str])) if nodes else None,
        quota=_quota(readings.optional(_CGROUP)),
    )


def known_flags(listed: str) -> tuple[str, ...]:
    flags = set(listed.split())
    return tuple(flag for flag in FLAGS if flag in flags)


def _processors(text: str) -> list[dict[str, str]]:
    blocks = (dict(_pairs(block)) for block in re.split(r"\n\s*\n", text))
    return [block for block in blocks if block.get("processor", "").isdecimal()]


def _pairs(text: str) -> list[tuple[str, str]]:
    return [
        (name.strip(), value.strip())
        for name, colon, value in (line.partition(":") for line in text.splitlines())
        if colon
    ]


def _cores(processors: list[dict[str, str]]) -> int:
    """Count distinct cores.

    The kernel does not number them on Arm, which has one thread per core.
    """
    cores = {(block.get("physical id"), block.get("core id")) for block in processors}
    return len(processors) if any(None in core for core in cores) else len(cores)


def _quota(group: str | None) -> float | None:
    """Return the tightest quota in CPUs. No quota is written "max" or -1."""
    pairs = [
        re.fullmatch(r"(\d{1,18}) (\d{1,18})", text, re.ASCII)
        for text in (msgspec.json.decode(group, type=_CpuGroup).quotas if group else [])
    ]
    quotas = [int(pair[1]) / int(pair[2]) for pair in pairs if pair and int(pair[2])]
    return round(min(quotas), 2) if quotas else None


FACT = Fact[Cpu](title="Processor", sources=(_CPUINFO, _LSCPU, _NODES, _CGROUP), parse=parse)
