"""A path at which no nvcc was found: the default place, or one that CUDA_HOME was set to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_PATH = re.compile(
    r"(?:No such file or directory|Not a directory|Permission denied|not found|does not exist)[: ]{0,2}['\"]?(?P<after>[^\s'\"]*nvcc)\b"
    r"|(?P<before>[^\s'\"]*\bnvcc)['\"]?: (?:command )?(?:not found|No such file|Not a directory)",
    re.IGNORECASE,
)


def read(text: str) -> Iterator[dict[str, str]]:
    if match := _PATH.search(text):
        path = match["after"] or match["before"]
        default = path in {"nvcc", "/usr/local/cuda/bin/nvcc"} or path.endswith("None/bin/nvcc")
        yield {"path": path, "place": "default" if default else "chosen"}


READER = Reader(name="nvcc_path", words=("nvcc",), read=read)
