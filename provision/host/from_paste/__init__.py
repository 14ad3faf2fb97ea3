"""Read a pasted text into a Host: collect_env of vLLM, torch or sglang, and other programs.

Each module of this folder whose name has no leading underscore reads one fact, that of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.host._model import Host
from provision.host.from_paste import _listing, gpus
from provision.host.from_paste._paste import Paste

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Found

_OWN_TITLES: Final = (
    "pytorch version",
    "gpu models and configuration",
    "nvidia driver version",
    "libc version",
)
_SHARED_TITLES: Final = (
    "os",
    "gcc version",
    "python version",
    "python platform",
    "cuda used to build pytorch",
    "is cuda available",
    "cuda runtime version",
    "cudnn version",
    "is xnnpack available",
    "vllm version",
)


def looks_like(text: str) -> bool:
    """Return True for such a text or a part: an own title, two shared titles, or GPUs."""
    paste = Paste(text, "")
    return (
        any(map(paste.has, _OWN_TITLES))
        or sum(map(paste.has, _SHARED_TITLES)) > 1
        or bool(gpus.lists(paste))
    )


def parse(text: str, name: str) -> Host:
    """Read everything that the text says. Messages about missing values call the text `name`."""
    found = read(text, name)
    return Host(described={fact: read.value for fact, read in found.items()})


def read(text: str, name: str) -> dict[str, Found]:
    """Return every fact that the text tells, with the lines that tell it."""
    paste = Paste(text, name)
    readers = _listing.modules(__name__, __path__)
    found = {reader.__name__.rpartition(".")[2]: reader.read(paste) for reader in readers}
    return {fact: read for fact, read in found.items() if read is not None}
