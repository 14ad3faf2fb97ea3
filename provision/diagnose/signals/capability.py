"""torch's warning that a GPU is newer or older than all that its build was made for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_GPU = re.compile(r"CUDA capability sm_(\d{2,3}) is not compatible", re.IGNORECASE)
_LIST = re.compile(
    r"supports? CUDA capabilities ((?:(?:sm|compute)_\d{2,3}[af]?,? ?)+)", re.IGNORECASE
)
_RANGE = re.compile(
    r"cuda capability (\d{1,2}\.\d).{0,200}?\(?(\d{1,2}\.\d)\)? ?- ?\(?(\d{1,2}\.\d)", re.IGNORECASE
)
_OLD = re.compile(
    r"no longer supports this GPU because it is too old|which is too old to be supported by"
    r"|capability (?:supported|required) by this library is (\d\.\d)",
    re.IGNORECASE,
)


def read(text: str) -> Iterator[dict[str, str]]:
    if _OLD.search(text):
        yield {"gpu": "old"}
    elif ranged := _RANGE.search(text):
        gpu, least, most = (float(number) for number in ranged.groups())
        if gpu > most or gpu < least:
            yield {"gpu": "new" if gpu > most else "old"}
    elif named := _GPU.search(text):
        built = [
            int(number) for number in re.findall(r"_(\d{2,3})", (_LIST.search(text) or [""])[0])
        ]
        gpu = int(named[1])
        known = built or [70, 90]
        yield {"gpu": "new" if gpu > max(known) else "old" if gpu < min(known) else "between"}


READER = Reader(
    name="capability",
    words=("cuda capability", "too old to be supported", "because it is too old", "by this library is"),
    read=read,
)  # fmt: skip
