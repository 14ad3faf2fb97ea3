"""Look for a C compiler and the headers of this Python, and name the packages that install them.

The Python that vLLM will use runs this script: only that one knows where its headers are.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig

# The command is only shown, never run: nothing here changes the system.
_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_INSTALL = {
    "debian": ("apt-get install", "gcc libc6-dev", f"{_PYTHON}-dev"),
    "fedora": ("dnf install", "gcc", f"{_PYTHON}-devel"),
    "rhel": ("dnf install", "gcc", f"{_PYTHON}-devel"),
    "suse": ("zypper install", "gcc", f"{_PYTHON.replace('.', '')}-devel"),
    "arch": ("pacman -S", "gcc", "python"),
    "alpine": ("apk add", "gcc musl-dev", "python3-dev"),
}
_UNKNOWN = ("install", "gcc", f"the headers of {_PYTHON}")


def _family() -> list[str]:
    """Return the IDs of this distribution and of those that it is like, the nearest first."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as lines:
            fields = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    except OSError:
        fields = {}
    return f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()


def main() -> int:
    tool, compiler, headers = next(
        (_INSTALL[name] for name in _family() if name in _INSTALL), _UNKNOWN
    )
    missing = []
    own = os.environ.get("CC", "").split()[:1]  # CC may have options behind the command
    if not any(shutil.which(name) for name in (*own, "gcc", "clang", "cc")):
        missing.append(("a C compiler", compiler))
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        missing.append((f"Python.h of {sys.executable}", headers))
    if not missing:
        return 0
    names, packages = zip(*missing, strict=True)
    sys.stderr.write(
        f"missing: {' and '.join(names)}, which Triton needs at run time\n"
        f"as root: {tool} {' '.join(packages)}\n"
    )
    return int(sys.argv[1:] == ["must"])


if __name__ == "__main__":
    sys.exit(main())
