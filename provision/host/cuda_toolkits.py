"""The CUDA toolkits of this host, CUDA_HOME, and nvcc wrappers outside any toolkit."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, Probe, Readings

_TOOLKITS = Probe("cuda_toolkits")


class CudaToolkit(msgspec.Struct, frozen=True, kw_only=True):
    """A folder with bin/nvcc and the runtime's headers; `version` is None if no source tells it.

    `whole`: it also has the headers of the libraries, which torch's own headers include.
    """

    path: str
    version: str | None = None
    whole: bool = False


class CudaToolkits(msgspec.Struct, frozen=True, kw_only=True):
    """`homes` holds CUDA_HOME and CUDA_PATH; `wrappers` are nvcc files outside any toolkit."""

    toolkits: tuple[CudaToolkit, ...] = ()
    wrappers: tuple[str, ...] = ()
    homes: dict[str, str] = {}


class _Folder(msgspec.Struct, frozen=True):
    path: str
    nvcc: str
    headers: bool
    version_json: str
    libraries: bool = False


class _Answers(msgspec.Struct, frozen=True):
    homes: dict[str, str]
    on_path: dict[str, str]
    folders: list[_Folder]
    says: dict[str, str]


class _Component(msgspec.Struct, frozen=True):
    version: str


def parse(readings: Readings) -> CudaToolkits:
    answers = msgspec.json.decode(readings.text(_TOOLKITS), type=_Answers)
    complete = [folder for folder in answers.folders if folder.nvcc and folder.headers]
    toolkits = [
        CudaToolkit(
            path=folder.path, version=_version(folder, answers.says), whole=folder.libraries
        )
        for folder in complete
    ]
    inside = {folder.nvcc for folder in complete}
    return CudaToolkits(
        toolkits=tuple(sorted(toolkits, key=_newest, reverse=True)),
        wrappers=tuple(path for path, real in answers.on_path.items() if real not in inside),
        homes=answers.homes,
    )


def _version(folder: _Folder, says: dict[str, str]) -> str | None:
    """Prefer nvcc's own version: version.json is often missing."""
    if match := re.search(r"release \d+\.\d+, V(\d+\.\d+(?:\.\d+)?)", says.get(folder.nvcc, "")):
        return match[1]
    try:
        components = msgspec.json.decode(folder.version_json, type=dict[str, _Component])
    except (ValueError, msgspec.MsgspecError):
        return None
    known = components.get("cuda_nvcc") or components.get("cuda")
    return known.version if known else None


def _newest(toolkit: CudaToolkit) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", toolkit.version or "")], toolkit.path


FACT = Fact[CudaToolkits](title="CUDA toolkits", sources=(_TOOLKITS,), parse=parse)
