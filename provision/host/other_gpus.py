"""GPUs of other makers, by name or PCI id. They are reported; nothing is planned for them."""

from __future__ import annotations

import re

from provision.host import pci_gpus
from provision.host._model import Fact, Readings

_MAKERS = {"1002": "AMD", "8086": "Intel"}
_ACCELERATOR = r"3\d{4}|12\d{4}"  # display controllers 03xxxx and processing accelerators 12xxxx
_OF_A_PROCESSOR = "0000:00:02.0"  # where every Intel processor has its own graphics
_AMD = r"(?:AMD )?(?:Instinct|Radeon) [\w ]*\w"
_INTEL = r"Intel(?:\(R\))? (?:Data Center GPU|Arc)\b[\w() ]*\w"


def named_in(lines: list[str]) -> tuple[str, ...]:
    matches = (
        re.match(rf"(?:GPU[\w ]{{0,40}}:\s*){{0,2}}({_AMD}|{_INTEL})", line) for line in lines
    )
    names = (match[1] for match in matches if match)
    return tuple(
        dict.fromkeys(
            name if name.startswith(("AMD", "Intel")) else f"AMD {name}" for name in names
        )
    )


def parse(readings: Readings) -> tuple[str, ...]:
    return tuple(
        f"{_MAKERS[maker]} GPU ({device['PCI_ID'].lower()})"
        for device in pci_gpus.all_devices(readings)
        if (maker := device.get("PCI_ID", "").partition(":")[0].upper()) in _MAKERS
        and re.fullmatch(_ACCELERATOR, device.get("PCI_CLASS", ""))
        and device.get("PCI_SLOT_NAME") != _OF_A_PROCESSOR
    )


FACT: Fact[tuple[str, ...]] = Fact(
    title="Other makers' GPUs", sources=(pci_gpus.SOURCE,), parse=parse
)
