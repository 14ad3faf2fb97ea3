"""Lay out the CUDA toolkit of an environment's wheels in the way that a linker expects.

Nothing is laid out if the wheels brought no nvcc. The environment's own Python runs this script,
so it uses the standard library only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(home: Path, view: Path) -> None:
    if not (home / "bin" / "nvcc").exists():
        return
    # Outside site-packages, where every file must be listed in a RECORD.
    (view / "lib64").mkdir(parents=True, exist_ok=True)
    links = {name: home / name for name in ("bin", "include", "nvvm")}
    # The wheels bring neither lib64 nor libcudart.so without a version.
    for library in sorted((home / "lib").glob("lib*")):
        links[f"lib64/{library.name}"] = library
        if library.name.startswith("libcudart.so."):
            links["lib64/libcudart.so"] = library
    for name, target in links.items():
        if not (view / name).is_symlink():
            (view / name).symlink_to(os.path.relpath(target, (view / name).parent))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
