"""The public cases, our own messages and the quiet texts, and how they are diagnosed."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from provision.diagnose import diagnose
from provision.diagnose._model import Diagnosis
from provision.host import from_text
from provision.host._model import Host

HERE = Path(__file__).parent
_VERSIONS = {"driver": r"\d{3}(?:\.\d+)*", "python": r"3\.\d+(?:\.\d+)*", "glibc": r"2\.\d+"}


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    """Return the public cases by name."""
    paths = sorted((HERE / "cases").glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


@functools.cache
def forms() -> list[dict[str, Any]]:
    """Return our own collection of messages, each with its cause."""
    loaded: list[dict[str, Any]] = yaml.safe_load((HERE / "forms.yaml").read_text(encoding="utf-8"))
    return loaded


def quiet() -> list[str]:
    """Return texts that show no failure of a host."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((HERE / "quiet").glob("*.txt"))]
    return [
        part for text in texts for part in re.split(r"^=== .*\n", text, flags=re.MULTILINE) if part
    ]


def text_of(case: dict[str, Any], *, symptom: bool = False) -> str:
    parts = [case.get("log"), case.get("collect_env"), case.get("symptom") if symptom else None]
    return "\n".join(part for part in parts if part)


def host_of(case: dict[str, Any]) -> Host:
    """Return what of a case's host the short description can say."""
    told = case.get("host", {})
    described: dict[str, Any] = {
        name: match[0]
        for name, shape in _VERSIONS.items()
        if (match := re.fullmatch(shape, str(told.get(name, ""))))
    }
    gpus = told.get("gpus", [])
    if gpus:
        described["gpus"] = [gpu if isinstance(gpu, dict) else {"name": gpu} for gpu in gpus]
    if not described:
        return Host(described={})
    return from_text.parse(yaml.safe_dump(described), "host")


def diagnosed(text: str, host: Host | None = None) -> Diagnosis:
    return diagnose.of_log([text.encode()], host)


def first(diagnosis: Diagnosis) -> str:
    return diagnosis.findings[0].cause if diagnosis.findings else ""
