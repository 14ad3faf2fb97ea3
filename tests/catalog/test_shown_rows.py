"""catalog/show.py: rows as a person reads them."""

from __future__ import annotations

import pytest

from provision.catalog import rows, show

CATALOGUE = rows.load()


@pytest.mark.parametrize("table", rows.TABLES)
def test_every_row_of_every_table_is_named_and_none_is_a_dump(table: str) -> None:
    held = getattr(CATALOGUE, table)
    shown = show.rows_of(table, held).rows
    assert sum(bool(name) for name, _ in shown) == len(held)
    assert not any(mark in text for _, text in shown for mark in ("{", "['", "None"))


def test_a_release_has_its_builds_one_a_line() -> None:
    (release,) = (row for row in CATALOGUE.vllm if row.version == "0.33.0")
    (name, first), *rest = show.rows_of("vllm", [release]).rows
    assert (name, first) == ("0.33.0", "released 2026-11-02, python <3.15,>=3.11, torch 2.14.0")
    assert len(rest) == 1 + len(release.builds)
    assert rest[1][1].startswith("x86_64 cu130: cuda 13.0, where pypi, size 336.4 MB, ")
    assert "fa2 sm 8.0; ptx 8.0" in rest[1][1]


def test_a_gpu_has_units_and_its_switches_by_name() -> None:
    ((_, text),) = show.rows_of(
        "gpus", [row for row in CATALOGUE.gpus if row.name == "V100 SXM2"]
    ).rows
    assert "Tesla V100 SXM2 / V100 / " in text
    assert "memory 16 GB" in text
    assert "bandwidth 900 GB/s, nvlink 300 GB/s, data center" in text
