"""Checks that each GPU's PCIe link is as wide, and now as fast, as the GPU allows."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation

_NARROW = (
    "reseat the card; look at the riser, at the slot's wiring and its BIOS setting (bifurcation)"
)
_SLOW = (
    "an idle GPU lowers its link's speed: look again under load, with nvidia-smi -q -d PERFORMANCE"
)


def look(context: Context) -> Observation:
    gpus = [gpu for gpu in _host.used_gpus(context) if not (gpu["vgpu"] or gpu["integrated"])]
    if not gpus:
        return Observation([], "these GPUs have no PCIe link of their own")
    links: dict[str, Any] = {
        gpu["id"]: gpu["link"] for gpu in _host.with_field(gpus, "link", "the PCIe link")
    }
    narrow = [
        (gpu, f"the PCIe link has {link['width']} of {link['width_max']} lanes")
        for gpu, link in links.items()
        if _is_less(link["width"], link["width_max"])
    ]
    slow = [
        (
            gpu,
            f"the PCIe link is at generation {link['generation']} of {link['generation_max']}",
        )
        for gpu, link in links.items()
        if _is_less(link["generation"], link["generation_max"])
    ]
    unknown = [
        (gpu, "the width of its link is not known")
        for gpu, link in links.items()
        if not link["width"]
    ]
    widths = sorted({link["width"] for link in links.values() if link["width"]})
    return Observation(
        _host.group_by_text(narrow + slow + unknown),
        f"PCIe x{', x'.join(map(str, widths))}, the full width of the GPUs",
        {"links": links},
        _NARROW if narrow else _SLOW,
    )


def _is_less(now: int | None, most: int | None) -> bool:
    return bool(now and most and now < most)


CHECK = _host.check(
    look,
    title="PCIe links",
    proves="every GPU's PCIe link runs at the full width and generation of the GPU",
    weight="should",
)
