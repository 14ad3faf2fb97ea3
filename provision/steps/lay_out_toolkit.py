"""Run by an environment's Python: lays the CUDA toolkit of its wheels out as one that a linker takes.

The wheels bring nvcc, but neither lib64 nor libcudart.so. The view lies beside site-packages, where every file stays
one that a RECORD lists.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(home: Path, view: Path) -> None:
    if not (home / "bin" / "nvcc").exists():
        return
    (view / "lib64").mkdir(parents=True, exist_ok=True)
    links = {name: home / name for name in ("bin", "include", "nvvm")}
    for library in sorted((home / "lib").glob("lib*")):
        links[f"lib64/{library.name}"] = library
        if library.name.startswith("libcudart.so."):
            links["lib64/libcudart.so"] = library
    for name, target in links.items():
        if not (view / name).is_symlink():
            (view / name).symlink_to(os.path.relpath(target, (view / name).parent))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
