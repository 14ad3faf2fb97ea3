"""Read a pasted text into a Host: collect_env of vLLM, torch or sglang, and other programs.

Each module of this folder whose name has no leading underscore reads one fact, that of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.host.from_paste import _listing, accelerators, gpus
from provision.host.from_paste._paste import Paste
from provision.host.from_paste.translators import added, read_lines
from provision.host.from_text import OWN_TITLES

if TYPE_CHECKING:
    from provision.host._model import Found

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
    """Return True for such a text or a part: an own title, two shared titles, or devices."""
    paste = _without_additions(text)
    shared = sum(bool(paste.values(title)) for title in _SHARED_TITLES)
    devices = gpus.lists(paste) or accelerators.read(paste)
    return bool(paste.values(*OWN_TITLES)) or shared > 1 or bool(devices)


def has_own_titles(text: str) -> bool:
    """Return True if a line has a title that no short description has."""
    return bool(_without_additions(text).values(*OWN_TITLES))


def _without_additions(text: str) -> Paste:
    """Return a text without what a person added in the words of a short description."""
    added_lines = {line.number for line in read_lines(text) if added.looks_like(line.text)}
    return Paste(text, "", without=added_lines)


def read(text: str, name: str) -> dict[str, Found]:
    """Return every fact that the text tells, with the lines that tell it.

    Messages about missing values call the text `name`.
    """
    paste = Paste(text, name)
    readers = _listing.modules(__name__, __path__)
    found = {reader.__name__.rpartition(".")[2]: reader.read(paste) for reader in readers}
    return {fact: read for fact, read in found.items() if read is not None}
