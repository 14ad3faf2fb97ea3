"""The rows of `nvidia-smi --query-gpu`."""

from __future__ import annotations

from provision.host._model import Command, Readings
from provision.host.nvml import GpuAnswer

_SHORT = (
    "index",
    "name",
    "pci.bus_id",
    "driver_version",
    "memory.total",
    "persistence_mode",
    "ecc.mode.current",
)
_LONG = (
    *_SHORT,
    "compute_cap",
    "mig.mode.current",
    "pcie.link.gen.current",
    "pcie.link.gen.max",
    "pcie.link.width.current",
    "pcie.link.width.max",
)


def _query(executable: str, fields: tuple[str, ...]) -> Command:
    return Command((executable, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"))


# A driver that does not know one field refuses the whole query, so a short one follows.
# Under WSL the tool belongs to Windows' driver, and its folder is often not on PATH.
_QUERIES = (
    (_query("nvidia-smi", _LONG), _LONG),
    (_query("nvidia-smi", _SHORT), _SHORT),
    (_query("/usr/lib/wsl/lib/nvidia-smi", _SHORT), _SHORT),
)
_LONGEST_ROW = 10_000  # the csv module refuses fields of more than 131,072 letters
SOURCES = tuple(command for command, _ in _QUERIES)


def rows(readings: Readings) -> list[dict[str, str]] | None:
    for command, fields in _QUERIES:
        text = readings.optional(command)
        import csv  # most plans read no nvidia-smi output

        texts = (text or "").replace("\0", "").splitlines()
        lines = csv.reader(
            (line for line in texts if len(line) < _LONGEST_ROW), skipinitialspace=True
        )
        if parsed := [_row(fields, values) for values in lines if len(values) == len(fields)]:
            return parsed
    return None


def _row(fields: tuple[str, ...], values: list[str]) -> dict[str, str]:
    """Return the fields with a value: not "[N/A]", "[Not Supported]", "[GPU is lost]", "ERR!"."""
    stripped = ((field, value.strip()) for field, value in zip(fields, values, strict=True))
    return {
        field: value
        for field, value in stripped
        if value and not value.startswith("[") and value not in {"N/A", "ERR!"}
    }


def gpus(readings: Readings) -> tuple[GpuAnswer, ...] | None:
    gpu_rows = rows(readings)
    if gpu_rows is None:
        return None
    return tuple(_gpu(row) for row in gpu_rows if row.get("index", "").isdecimal())


def _gpu(row: dict[str, str]) -> GpuAnswer:
    mebibytes = _number(row.get("memory.total"))
    return GpuAnswer(
        index=int(row["index"]),
        name=row.get("name"),
        bus_id=row.get("pci.bus_id"),
        cc=row.get("compute_cap"),
        memory=mebibytes * 2**20 if mebibytes else None,
        mig=_switch(row.get("mig.mode.current")),
        ecc=_switch(row.get("ecc.mode.current")),
        persistence=_switch(row.get("persistence_mode")),
        width=_number(row.get("pcie.link.width.current")),
        width_max=_number(row.get("pcie.link.width.max")),
        generation=_number(row.get("pcie.link.gen.current")),
        generation_max=_number(row.get("pcie.link.gen.max")),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() else None


def _switch(text: str | None) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(text or "")
