"""The CUDA toolkit whose nvcc was asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found
from provision.host.cuda_toolkits import CudaToolkit, CudaToolkits

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_VERSION: Final = re.compile(r"^V?(\d{1,2}\.\d{1,2}(?:\.\d{1,4})?)")


def read(paste: Paste) -> Found | None:
    found = paste.version("CUDA toolkit", _VERSION, paste.values("cuda runtime version"))
    # The folder is not told. A toolkit with nvcc nearly always has its libraries' headers.
    return found and found._replace(
        value=CudaToolkits(
            toolkits=(CudaToolkit(path="the folder of nvcc", version=found.value, whole=True),)
        )
    )
