"""Whether each GPU's PCIe link runs as wide, and now as fast, as the GPU can."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    gpus = [gpu for gpu in _host.used(context) if not (gpu["vgpu"] or gpu["integrated"])]
    if not gpus:
        return Found([], "these GPUs have no PCIe link of their own")
    links = {gpu["id"]: gpu["link"] for gpu in _host.told(gpus, "link", "the PCIe link")}
    narrow = [
        (gpu, f"the PCIe link has {link['width']} of {link['width_max']} lanes")
        for gpu, link in links.items()
        if link["width"] and link["width_max"] and link["width"] < link["width_max"]
    ]
    slow = [
        (gpu, f"the PCIe link is at generation {link['generation']} of {link['generation_max']}")
        for gpu, link in links.items()
        if link["generation"] and link["generation_max"] and link["generation"] < link["generation_max"]
    ]
    unknown = [(gpu, "the width of its link is not told") for gpu, link in links.items() if not link["width"]]
    hint = "an idle GPU lowers its link's speed: look again under load, with nvidia-smi -q -d PERFORMANCE"
    if narrow:
        hint = "reseat the card, look at the riser and at the slot's wiring and its BIOS setting (bifurcation)"
    problems = _host.by_value(narrow + slow + unknown)
    widths = sorted({link["width"] for link in links.values() if link["width"]})
    return Found(problems, f"PCIe x{', x'.join(map(str, widths))}, all that the GPUs can", {"links": links}, hint)


CHECK = Check(
    name="pcie_links",
    title="PCIe links",
    proves="every GPU's PCIe link runs at the width and generation that the GPU can",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
