"""Pack the part of a vLLM wheel that its kernels need, small enough to carry to a GPU host.

`pack.py WHEEL OUT`: a whole wheel has half a gigabyte. The kernels that the checks call lie in two
compiled files, and their Python modules import little. OUT gets one tar.xz for each.
"""

from __future__ import annotations

import argparse
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Final

_PARTS: Final = {
    "kernels.tar.xz": r"vllm/_C(?:_stable_libtorch)?\.abi3\.so",
    "python.tar.xz": r"vllm/.*\.(?:py|json)|vllm/vllm_flash_attn/_vllm_fa3_C\.abi3\.so"
    r"|[^/]+\.dist-info/METADATA",
}
MOST_MB: Final = 64


def pack(wheel: Path, out: Path) -> dict[str, int]:
    """Write the parts and return their sizes in bytes."""
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, pattern in _PARTS.items():
            members = [info for info in archive.infolist() if re.fullmatch(pattern, info.filename)]
            with tarfile.open(out / name, "w:xz", preset=9) as part:
                for info in members:
                    entry = tarfile.TarInfo(info.filename)
                    entry.size, entry.mode = info.file_size, 0o644
                    part.addfile(entry, io.BytesIO(archive.read(info)))
    return {name: (out / name).stat().st_size for name in _PARTS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    sizes = pack(options.wheel, options.out)
    for part_name, size in sizes.items():
        print(f"{size / 2**20:6.1f} MiB  {options.out / part_name}")
    if sum(sizes.values()) > MOST_MB * 2**20:
        print(f"more than {MOST_MB} MiB together: carry one part at a time")
