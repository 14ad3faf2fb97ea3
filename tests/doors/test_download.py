"""Downloads from a faulty server: resumed, given up in time, and never kept with wrong content."""

from __future__ import annotations

import fcntl
import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.doors import addresses, download, remote_file, sessions
from provision.errors import SourceFailed
from tests.doors.local_server import LocalServer, Resource, serving

DATA = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
PLAIN = addresses.Connection()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(remote_file, "_PAUSE_S", 0.0)
    with serving() as running:
        yield running


def fetched(
    server: LocalServer, folder: Path, *faults: str, data: bytes = DATA, begun: bytes = b""
) -> Resource:
    """Fetch a file from a server with these faults; every byte is counted once."""
    server.resources["/big.whl"] = resource = Resource(data, "application/octet-stream", *faults)
    counts: list[int] = []
    if begun:
        part(folder).write_bytes(begun)
    download.download(server.url("/big.whl"), SHA256, folder / "big.whl", counts.append, PLAIN)
    assert (folder / "big.whl").read_bytes() == DATA
    assert sum(counts) == len(DATA)
    assert [path.name for path in folder.iterdir()] == ["big.whl"]
    return resource


def part(folder: Path) -> Path:
    return folder / f".big.whl.{SHA256[:16]}.part"


def test_a_complete_download(server: LocalServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path).requests == 1
    assert download.is_complete(tmp_path / "big.whl", SHA256)
    assert not download.is_complete(tmp_path / "big.whl", "0" * 64)
    assert not download.is_complete(tmp_path / "other.whl", SHA256)


def test_a_download_continues_after_a_kill(server: LocalServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path, begun=DATA[:2_000_000]).served == 1_000_000


def test_a_complete_partial_file_is_not_fetched_again(server: LocalServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path, begun=DATA).served == 0


def test_a_damaged_partial_file_is_fetched_again(server: LocalServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path, begun=b"\0" * 2_000_000).served == 1_000_000 + len(DATA)


def test_a_partial_file_that_is_too_long_is_fetched_again(
    server: LocalServer, tmp_path: Path
) -> None:
    assert fetched(server, tmp_path, begun=DATA + b"!").served == len(DATA)


@pytest.mark.parametrize("fault", ["reset", "500", "429", "503"])
def test_a_temporary_fault_is_retried_at_the_same_byte(
    server: LocalServer, tmp_path: Path, fault: str
) -> None:
    assert fetched(server, tmp_path, fault, fault).served == len(DATA)


def test_a_silent_connection_is_replaced(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE_S", 0.2)
    assert fetched(server, tmp_path, "stall").requests == 2


def test_a_slow_connection_is_replaced(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_file, "_WINDOW_S", 0.2)
    assert fetched(server, tmp_path, "trickle").requests == 2


def test_a_server_without_ranges_sends_the_file_again(server: LocalServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path, "whole", begun=DATA[:1_000]).served == len(DATA)


def test_a_redirect_to_another_site_is_followed(server: LocalServer, tmp_path: Path) -> None:
    server.resources["/elsewhere.whl"] = Resource(DATA)
    assert fetched(server, tmp_path, "to " + server.url("/elsewhere.whl")).served == 0
    assert server.resources["/elsewhere.whl"].served == len(DATA)


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        (["404"], "HTTP status 404"),
        (["401"], "put the login into"),
        (["500"] * 9, "HTTP status 500, 5 times in a row"),
        (["reset", "grown"], "the file changed during the download: 3000000 bytes, now 3000001"),
    ],
)
def test_a_permanent_fault_is_reported(
    server: LocalServer, tmp_path: Path, faults: list[str], text: str
) -> None:
    with pytest.raises(SourceFailed) as failure:
        fetched(server, tmp_path, *faults)
    assert text in str(failure.value)
    assert not (tmp_path / "big.whl").exists()


@pytest.mark.parametrize("begun", [b"", DATA[:1_000]])
def test_wrong_content_is_never_kept(server: LocalServer, tmp_path: Path, begun: bytes) -> None:
    with pytest.raises(SourceFailed, match="does not match the locked SHA-256"):
        fetched(server, tmp_path, data=DATA[:-1] + b"!", begun=begun)
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_written_than_the_lock_names(server: LocalServer, tmp_path: Path) -> None:
    server.resources["/big.whl"] = Resource(DATA)
    counts: list[int] = []
    with pytest.raises(SourceFailed, match="more than the 2000000 bytes that are expected"):
        download.download(
            server.url("/big.whl"), SHA256, tmp_path / "big.whl", counts.append, PLAIN, 2_000_000
        )
    assert sum(counts) <= 2_000_000
    assert part(tmp_path).stat().st_size == 0


def test_headers_that_drip_are_not_awaited(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "HEADERS_S", 0.2)
    assert fetched(server, tmp_path, "drip").requests == 2
    server.resources["/big.whl"].faults = ["drip"]
    assert download.size(server.url("/big.whl"), PLAIN) == 0


@pytest.mark.parametrize("address", ["http://[::1/", "http://\u00fc\u00ff/"])
def test_a_redirect_to_no_address(server: LocalServer, tmp_path: Path, address: str) -> None:
    with pytest.raises(SourceFailed, match="HTTP status 302, not the requested bytes"):
        fetched(server, tmp_path, f"to {address}")


@pytest.mark.parametrize("length", ["abc", "7, 7", "9" * 5000])
def test_a_length_that_is_no_number(server: LocalServer, length: str) -> None:
    server.resources["/f"] = Resource(b"")
    server.resources["/f"].length = length
    assert download.size(server.url("/f"), PLAIN) == 0


def test_a_proxy_of_the_settings_leaves_out_the_hosts_of_no_proxy(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.resources["/f"] = Resource(DATA)
    lost = addresses.Connection(proxy="http://127.0.0.1:9")
    download.download(server.url("/f"), SHA256, tmp_path / "f", lambda _: None, lost)
    assert download.is_complete(tmp_path / "f", SHA256)


def test_a_socks_proxy_is_named(server: LocalServer, tmp_path: Path) -> None:
    proxied = addresses.Connection(proxy="socks5://127.0.0.1:9")
    with pytest.raises(SourceFailed, match="cannot use the configured SOCKS proxy"):
        download.download(server.url("/f"), SHA256, tmp_path / "f", lambda _: None, proxied)


def test_a_file_in_a_folder_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "from" / "a b.whl"
    source.parent.mkdir()
    source.write_bytes(DATA)
    download.download(source.as_uri(), SHA256, tmp_path / "a b.whl", lambda _: None, PLAIN)
    assert (tmp_path / "a b.whl").read_bytes() == DATA
    with pytest.raises(SourceFailed, match="No such file"):
        download.download(
            (tmp_path / "none").as_uri(), SHA256, tmp_path / "c.whl", lambda _: None, PLAIN
        )


def test_a_missing_certificate_file_is_named(server: LocalServer, tmp_path: Path) -> None:
    lost = addresses.Connection(certificates="/nowhere/ca.pem")
    with pytest.raises(SourceFailed, match=r"the certificate file /nowhere/ca\.pem is missing"):
        download.download(server.url("/x"), SHA256, tmp_path / "x", lambda _: None, lost)


def test_two_processes_share_one_store(server: LocalServer, tmp_path: Path) -> None:
    """The second waits for the first, and then has nothing left to fetch."""
    server.resources["/big.whl"] = resource = Resource(DATA)
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, server.url("/big.whl"), SHA256, tmp_path])
        for _ in range(4)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert (tmp_path / "big.whl").read_bytes() == DATA
    assert resource.requests == 1
    assert [path.name for path in tmp_path.iterdir()] == ["big.whl"]


def test_waiting_for_another_process_can_be_stopped(server: LocalServer, tmp_path: Path) -> None:
    with part(tmp_path).open("a+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InterruptedError):
            download.download(server.url("/big.whl"), SHA256, tmp_path / "big.whl", stopped, PLAIN)


def stopped(_: int) -> None:
    raise InterruptedError


CHILD = """
import sys, pathlib
from provision.doors import addresses, download
url, sha256, folder = sys.argv[1:]
path = pathlib.Path(folder) / "big.whl"
download.download(url, sha256, path, lambda count: None, addresses.Connection())
"""
