"""Checks that each GPU's PCIe link is as wide as GPU and slot allow."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation

_NARROW = (
    "reseat the card; look at the riser, at the slot's wiring and its BIOS setting (bifurcation)"
)


def look(context: Context) -> Observation:
    gpus = [gpu for gpu in _host.used_gpus(context) if not (gpu["vgpu"] or gpu["integrated"])]
    if not gpus:
        return Observation([], "these GPUs have no PCIe link of their own")
    links: dict[str, Any] = {
        gpu["id"]: gpu["link"] for gpu in _host.with_field(gpus, "link", "the PCIe link")
    }
    # The generation is not judged: an idle GPU lowers it. speed_host_link measures under load.
    narrow = [
        (gpu, f"the PCIe link has {link['width']} of {link['width_max']} lanes")
        for gpu, link in links.items()
        if link["width"] and link["width_max"] and link["width"] < link["width_max"]
    ]
    unknown = [
        (gpu, "the width of its link is not known")
        for gpu, link in links.items()
        if not link["width"]
    ]
    widths = sorted({link["width"] for link in links.values() if link["width"]})
    slots = _host.group_by_text(
        [(gpu, text) for gpu, link in links.items() if (text := weaker_slot(link))]
    )
    holds = f"PCIe x{', x'.join(map(str, widths))}, the full width of GPU and slot"
    return Observation(
        _host.group_by_text(narrow + unknown),
        "; ".join((holds, *slots)),
        {"links": links},
        _NARROW,
    )


def weaker_slot(link: dict[str, Any]) -> str:
    """Return what the GPU could do in a better slot, or ""."""
    parts = [
        f"{sign}{link[most]} where the GPU has {sign}{link[own]}"
        for sign, most, own in (
            ("x", "width_max", "width_of_gpu"),
            ("generation ", "generation_max", "generation_of_gpu"),
        )
        if link.get(own)
    ]
    return f"the slot has {' and '.join(parts)}" if parts else ""


CHECK = _host.check(
    look,
    title="PCIe links",
    proves="every GPU's PCIe link has all lanes that GPU and slot have in common",
    weight="should",
)
