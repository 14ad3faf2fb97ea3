"""IOMMU and PCI access control (ACS): both can slow or break traffic between GPUs."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, File, Files, Probe, Readings

_GROUPS = Files(("/sys/kernel/iommu_groups/[0-9]*",))
_ACS = Probe("acs")
_OPTIONS = (
    "iommu",
    "intel_iommu",
    "amd_iommu",
    "iommu.passthrough",
    "iommu.strict",
    "pcie_acs_override",
    "pci",
)
_CMDLINE = File("/proc/cmdline", words=_OPTIONS)  # other words of the command line may be secrets


class Iommu(msgspec.Struct, frozen=True, kw_only=True):
    """`acs_redirects`: a PCI bridge redirects traffic; None if only root may look."""

    groups: int
    options: tuple[str, ...] = ()
    acs_redirects: bool | None = None


class _Acs(msgspec.Struct, frozen=True):
    redirecting: list[str]


def parse(readings: Readings) -> Iommu:
    cmdline = readings.text(_CMDLINE).split()
    groups = readings.optional(_GROUPS)  # without any group the IOMMU is off
    acs = readings.optional(_ACS)
    return Iommu(
        groups=len(msgspec.json.decode(groups, type=dict[str, str])) if groups else 0,
        options=tuple(
            word for word in cmdline if word.partition("=")[0] in _OPTIONS and "=" in word
        ),
        acs_redirects=bool(msgspec.json.decode(acs, type=_Acs).redirecting) if acs else None,
    )


FACT = Fact[Iommu](title="IOMMU and ACS", sources=(_GROUPS, _CMDLINE, _ACS), parse=parse)
