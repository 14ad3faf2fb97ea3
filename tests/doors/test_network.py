"""Network requests to a real server that is late, broken, wrong or gone."""

from __future__ import annotations

import io
import socket
import time
import zipfile
from typing import TYPE_CHECKING

import pypi_simple
import pytest

from provision.doors import addresses, network, remote_file, sessions
from provision.errors import SourceFailed
from tests.doors.local_server import LocalServer, Resource, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 4096  # 1 MiB
PAGE = (
    b'<html><body><a href="demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a></body></html>'
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(remote_file, "_PAUSE_S", 0.0)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        yield running


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_only_the_parts_that_are_read_travel(server: LocalServer) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("big.so", BODY)
        archive.writestr("small.txt", "wanted")
        archive.writestr("big2.so", BODY)
    server.resources["/a.whl"] = resource = Resource(packed.getvalue())
    with network.remote_file(server.url("/a.whl")) as remote, zipfile.ZipFile(remote) as archive:
        assert archive.namelist() == ["big.so", "small.txt", "big2.so"]
        assert archive.read("small.txt") == b"wanted"
        assert remote.fetched == resource.served <= 2 * 64 * 1024
        assert archive.read("big2.so") == BODY
        assert resource.served < len(BODY) + 4 * 64 * 1024


def test_reads_like_a_file(server: LocalServer) -> None:
    server.resources["/f"] = Resource(BODY)
    with network.remote_file(server.url("/f")) as remote:
        assert remote.size == len(BODY)
        assert remote.seek(-10, io.SEEK_END) == len(BODY) - 10
        assert remote.read() == BODY[-10:]
        assert remote.read(5) == b""
        remote.seek(300_000)
        assert remote.read(100_000) == BODY[300_000:400_000]
        assert remote.seek(-100_000, io.SEEK_CUR) == 300_000
        assert remote.read(10) == BODY[300_000:300_010]


def test_a_file_smaller_than_the_first_request(server: LocalServer) -> None:
    server.resources["/f"] = Resource(b"short")
    with network.remote_file(server.url("/f")) as remote:
        assert remote.read() == b"short"


def test_a_broken_connection_continues_where_it_stopped(server: LocalServer) -> None:
    server.resources["/f"] = resource = Resource(BODY, "x/y", "", "reset", "503", "")
    with network.remote_file(server.url("/f")) as remote:
        remote.seek(0)
        assert remote.read(800_000) == BODY[:800_000]
    assert resource.requests == 4
    assert resource.served == 64 * 1024 + 800_000, "bytes before the break are not requested again"


def test_a_broken_request_for_the_end_continues_too(server: LocalServer) -> None:
    server.resources["/f"] = Resource(BODY, "x/y", "reset")
    with network.remote_file(server.url("/f")) as remote:
        remote.seek(-40_000, io.SEEK_END)
        assert remote.read() == BODY[-40_000:]


def test_retries_have_an_end(server: LocalServer) -> None:
    server.resources["/f"] = resource = Resource(BODY, "x/y", *["503"] * 9)
    with pytest.raises(SourceFailed, match="HTTP status 503, 5 times in a row"):
        network.remote_file(server.url("/f"))
    assert resource.requests == 5


@pytest.mark.parametrize("fault", ["stall", "trickle"])
def test_silent_and_slow_servers_are_given_up(
    server: LocalServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENCE_S", 0.2)
    monkeypatch.setattr(remote_file, "_WINDOW_S", 0.2)
    server.resources["/f"] = Resource(BODY[:8000], "x/y", *[fault] * 9)
    begun = time.monotonic()
    with pytest.raises(SourceFailed, match="timed out, 5 times in a row"):
        network.remote_file(server.url("/f"))
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (["whole"], "whole files only"),
        (["404"], "HTTP status 404"),
        (["", "grown"], "changed during the download"),
    ],
)
def test_an_unexpected_answer_is_refused(server: LocalServer, faults: list[str], says: str) -> None:
    server.resources["/f"] = Resource(BODY, "x/y", *faults)
    with (
        pytest.raises(SourceFailed, match=says) as caught,
        network.remote_file(server.url("/f")) as remote,
    ):
        remote.read(10)
    assert caught.value.where == server.url("/f")


def test_a_password_in_an_address_reaches_no_message() -> None:
    port = closed_port()
    with pytest.raises(SourceFailed) as caught:
        network.remote_file(f"http://someone:secret@127.0.0.1:{port}/f?token=hidden")
    text = str(caught.value)
    assert "refused" in text
    assert f"127.0.0.1:{port}/f" in text
    assert not any(word in text for word in ("someone", "secret", "hidden"))


def test_a_project_page_in_html_and_json(server: LocalServer) -> None:
    server.resources["/simple/demo/"] = Resource(PAGE, "text/html")
    (package,) = network.project(server.url("/simple/"), "demo").packages
    assert (package.version, package.url) == (
        "1.0",
        server.url("/simple/demo/demo-1.0-py3-none-any.whl"),
    )
    server.resources["/simple/demo/"] = Resource(
        b'{"meta": {"api-version": "1.1"}, "name": "demo", "versions": ["2.0"], "files": [{"url": "x", "hashes": {}, '
        b'"filename": "demo-2.0-py3-none-any.whl", "size": 7, "upload-time": "2026-01-02T03:04:05Z"}]}',
        "application/vnd.pypi.simple.v1+json",
    )
    (package,) = network.project(server.url("/simple/"), "demo").packages
    assert (package.version, package.size) == ("2.0", 7)


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (None, "this index has no project demo"),
        (Resource(PAGE, "text/html", "500"), "HTTP status 500"),
        (Resource(b"%PDF", "application/pdf"), "not a simple index page"),
        (Resource(b"{", "application/vnd.pypi.simple.v1+json"), "not a simple index page"),
    ],
)
def test_a_page_that_is_not_an_index_is_refused(
    server: LocalServer, resource: Resource | None, says: str
) -> None:
    if resource:
        server.resources["/simple/demo/"] = resource
    with pytest.raises(SourceFailed, match=says):
        network.project(server.url("/simple/"), "demo")


def test_a_page_that_never_arrives(server: LocalServer) -> None:
    server.resources["/simple/demo/"] = Resource(PAGE, "text/html", "stall")
    begun = time.monotonic()
    with pytest.raises(SourceFailed, match="timed out"):
        network.project(server.url("/simple/"), "demo", deadline_s=0.3)
    assert time.monotonic() - begun < 2


def test_all_sources_are_probed_at_the_same_time(server: LocalServer) -> None:
    elsewhere = "http://localhost:" + server.url("/").split(":")[2]
    server.resources = {
        "/ok": Resource(PAGE, "text/html"),
        "/forbidden": Resource(b"", "text/html", "403"),
        "/login": Resource(b"", "text/html", "401"),
        "/ill": Resource(b"", "text/html", "502"),
        "/late": Resource(b"", "text/html", "stall"),
        "/later": Resource(b"", "text/html", "stall"),
        "/portal": Resource(b"", "text/html", f"to {elsewhere}ok"),
        "/": Resource(PAGE, "text/html"),
    }
    begun = time.monotonic()
    urls = {path[1:]: server.url(path) for path in server.resources if path != "/"}
    answers = network.probe(
        {**urls, "gone": server.url("/gone"), "closed": f"http://127.0.0.1:{closed_port()}/"}, 1.5
    )
    assert time.monotonic() - begun < 2 * 1.5  # two are late
    assert {name for name, answer in answers.items() if answer["answers"]} == {
        "ok",
        "forbidden",
        "gone",
    }
    details = {name: answer["detail"] for name, answer in answers.items()}
    assert details["ok"] == "HTTP 200"
    assert details["ill"] == "HTTP 502"
    assert details["closed"] == "the connection is refused"
    assert details["portal"] == "redirected to a page of localhost"
    assert details["late"] in ("timed out", "no answer within 1.5 s")


def test_sources_with_other_addresses(tmp_path: object) -> None:
    answers = network.probe(
        {"folder": f"file://{tmp_path}", "none": "file:///no/such", "typo": "htp:/x"}, 2.0
    )
    assert {name: answer["answers"] for name, answer in answers.items()} == {
        "folder": True,
        "none": False,
        "typo": False,
    }
    assert answers["typo"]["detail"] == "not an http or https address"


def test_an_unknown_host_name() -> None:
    answer = network.probe({"x": "https://no-such-host.invalid/"}, 5.0)["x"]
    assert answer["answers"] is False
    # Behind a proxy it is the proxy that does not know the name.
    assert answer["detail"] in (
        "DNS does not know the name",
        "the proxy refuses or cannot be reached",
        "timed out",
    )


def test_the_default_index_is_that_of_the_client_library() -> None:
    assert addresses.default_index() == pypi_simple.PYPI_SIMPLE_ENDPOINT


def test_a_page_is_read_or_missing(server: LocalServer) -> None:
    server.resources["/page"] = page = Resource(b"text", "text/html", "503")
    assert network.page(server.url("/page")) == b"text"
    assert page.requests == 2
    assert network.page(server.url("/missing")) is None


def test_a_hanging_or_endless_page_is_given_up(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.resources["/page"] = Resource(b"text", "text/html", "stall", "stall", "stall")
    with pytest.raises(SourceFailed, match="timed out"):
        network.page(server.url("/page"), deadline_s=0.2)
    server.resources["/long"] = Resource(BODY)
    monkeypatch.setattr(network, "_LONGEST_PAGE", 1000)
    with pytest.raises(SourceFailed, match="larger than 0 MiB"):
        network.page(server.url("/long"))
