"""Run by the host's Python: whether a C compiler and that Python's headers are there, and what installs them."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig

# The distribution's own command is only named: a compiler that works comes from there, and nothing changes the system.
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


def _has_compiler() -> bool:
    named = os.environ.get("CC", "").split()
    return any(shutil.which(name) for name in (*named[:1], "gcc", "clang", "cc"))


def _has_headers() -> bool:
    return os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))


def _family() -> list[str]:
    """This distribution and those that it is like, nearest first."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as lines:
            said = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    except OSError:
        said = {}
    return f"{said.get('ID', '')} {said.get('ID_LIKE', '')}".replace('"', "").split()


def main() -> int:
    tool, compiler, headers = next((_INSTALL[name] for name in _family() if name in _INSTALL), _UNKNOWN)
    missing = []
    if not _has_compiler():
        missing.append(("a C compiler", compiler))
    if not _has_headers():
        missing.append((f"Python.h of {sys.executable}", headers))
    if not missing:
        return 0
    what = " and ".join(name for name, _ in missing)
    packages = " ".join(package for _, package in missing)
    sys.stderr.write(f"missing: {what}, which Triton needs at run time\nas root: {tool} {packages}\n")
    return int(sys.argv[1:] == ["must"])


if __name__ == "__main__":
    sys.exit(main())
