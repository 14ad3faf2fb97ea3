"""The links between GPUs, from the matrix of `nvidia-smi topo -m`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.host import gpu_links
from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste


def read(paste: Paste) -> Found | None:
    links = gpu_links.matrix("\n".join(line.text for line in paste.lines))
    heads = (line.number for line in paste.lines if line.text.split()[:2] == ["GPU0", "GPU1"])
    return Found(gpu_links.GpuLinks(pairs=links), tuple(heads)[:1]) if links else None
