"""A shared library that the loader does not find, by family and major version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

# In the languages of glibc's messages; loggers often cut what follows the name.
_REASON = (
    r"cannot open|not found|no such file|missing|无法打开|kann |impossible|no se puede|não|"
    r"не удаётся|не удалось|共有"
)
_MISSING = re.compile(
    rf"(?P<path>/?)\b(?P<library>lib[\w+-]+\.so(?:\.\d+)*)['\"]?"
    rf"(?:: ?(?P<reason>{_REASON})|(?P<bare>:?)(?= (?:{_REASON})|$))",
    re.IGNORECASE,
)
_IS_ERROR = re.compile(rf"error|could not load|failed to load|{_REASON}", re.IGNORECASE)
_FAMILIES = (
    ("cudart", r"libcudart\."),
    ("torch-cuda", r"lib(?:torch_cuda\w*|c10_cuda)\."),
    ("torch", r"lib(?:torch\w*|c10\w*|shm)\."),
    ("driver", r"lib(?:cuda|nvidia-\w+|nvcuvid)\."),
    ("nccl", r"libnccl"),
    ("cuda-library", r"lib(?:cublas|cublasLt|cusparse|cusparseLt|cusolver|cufft|curand|cupti|cudnn|nvrtc|nvJitLink|nvToolsExt|cufile|nvshmem)\w*\."),
    ("rocm", r"lib(?:amdhip64|hip\w*|roc\w+|hsa-runtime64)\."),
    ("rdma", r"lib(?:ibverbs|mlx\d|rdmacm)\."),
    ("python", r"libpython"),
    ("cxx", r"lib(?:stdc\+\+|gomp|gcc_s)\."),
)  # fmt: skip


def read(text: str) -> Iterator[dict[str, str]]:
    for match in _MISSING.finditer(text):
        if match["reason"] or (not match["path"] and _IS_ERROR.search(text)):
            library = match["library"]
            major = re.search(r"\.so\.(\d+)", library)
            yield {
                "library": library,
                "family": next(
                    (name for name, known in _FAMILIES if re.match(known, library)), "other"
                ),
                "major": major[1] if major else "",
            }


READER = Reader(name="library", words=(".so",), read=read)
