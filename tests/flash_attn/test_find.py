"""Finding a planned wheel in GitHub's list of files, on a server that works and one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest

from provision.engine import uv
from provision.errors import SourceFailed
from provision.flash_attn import find as published_wheels
from provision.flash_attn.find import NotPublished, find
from provision.plan._model import FlashAttn, Package, Plan
from provision.settings import load
from provision.steps.model import Wheel
from tests.doors.local_server import LocalServer, Resource, serving
from tests.engine.small_index import plan

AUTHORS = "/Dao-AILab/flash-attention/releases"
THIRD = "/api/v3/repos/mjun0812/flash-attention-prebuild-wheels/releases"
FILE = "flash_attn-2.8.3+cu13torch2.9cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"
OTHER = FILE.replace("cp312", "cp311")
DIGEST = "1f" * 32


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        yield running


def page(*files: tuple[str, str]) -> bytes:
    """Return a list of release files as on GitHub: link, hash (not for old files) and size."""
    rows = (
        f"""<li class="Box-row d-flex flex-column flex-md-row">
  <a href="{AUTHORS}/download/v2.8.3.post1/{quote(file)}" rel="nofollow" data-turbo="false" class="Truncate">
    <span data-view-component="true" class="Truncate-text text-bold">{file}</span></a>
  <span class="Truncate-text">{f"sha256:{digest}" if digest else ""}</span>
  <clipboard-copy value="{f"sha256:{digest}" if digest else ""}"></clipboard-copy>
  <span style="white-space: nowrap;" class="color-fg-muted">243 MB</span></li>"""
        for file, digest in files
    )
    return f"<div><ul>{''.join(rows)}</ul></div>".encode()


def releases(*assets: dict[str, object], more: int = 0) -> bytes:
    return msgspec.json.encode(
        [{"tag_name": "v0.9.52", "assets": assets}] + [{"assets": []}] * more
    )


def planned(origin: str = "authors", file: str = FILE, version: str = "2.8.3.post1") -> Plan:
    flash = FlashAttn(
        mode="wheel",
        flavour="2",
        arches=("9.0",),
        why="fits",
        wheel=file,
        origin=origin,  # type: ignore[arg-type]  # one of its literals
    )
    return plan(
        flash_attn=flash, packages={"flash-attn": Package(version=version, source="github")}
    )


def find_wheel(
    server: LocalServer, a_plan: Plan, environment: dict[str, str] | None = None
) -> Wheel:
    settings = load(None, "config.yaml", [f"sources.github={server.url('/')}"])
    return find(a_plan, settings, uv.connection(environment or {}))


def test_a_listed_file_has_its_hash(server: LocalServer) -> None:
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(
        page((OTHER, "2e" * 32), (FILE, DIGEST), ("flash_attn-2.8.3.tar.gz", "3d" * 32)),
        "text/html",
    )
    wheel = find_wheel(server, planned())
    assert (wheel.file, wheel.sha256, wheel.size) == (FILE, DIGEST, 0)
    assert wheel.url == server.url(f"{AUTHORS}/download/v2.8.3.post1/{quote(FILE)}")


def test_html_entities_in_an_address_are_decoded(server: LocalServer) -> None:
    listed = page((FILE, DIGEST)).replace(b"%2B", b"&#43;")
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(listed, "text/html")
    assert find_wheel(server, planned()).file == FILE


def test_a_file_without_a_hash_does_not_get_its_neighbours(server: LocalServer) -> None:
    listed = page((OTHER, "2e" * 32), (FILE, ""), ("flash_attn-2.8.3.tar.gz", "3d" * 32))
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(listed, "text/html")
    assert find_wheel(server, planned()).sha256 == ""


def test_an_unlisted_file_is_not_published(server: LocalServer) -> None:
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(
        page((OTHER, DIGEST)), "text/html"
    )
    with pytest.raises(
        NotPublished, match=r"release 2\.8\.3\.post1 of Dao-AILab/flash-attention has 1 files"
    ):
        find_wheel(server, planned())
    with pytest.raises(NotPublished, match=r"there is no release 2\.8\.3\.post2"):
        find_wheel(server, planned(version="2.8.3.post2"))


def test_a_release_with_only_its_source_is_a_valid_list(server: LocalServer) -> None:
    source = b'<a href="/Dao-AILab/flash-attention/archive/refs/tags/v2.8.3.post1.zip">Source code (zip)</a>'
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(source, "text/html")
    with pytest.raises(NotPublished, match="has 0 files"):
        find_wheel(server, planned())


def test_another_page_is_a_failure_of_the_source(server: LocalServer) -> None:
    listed = server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(
        b"<form>Log in</form>", "text/html"
    )
    with pytest.raises(SourceFailed, match="not a list of release files"):
        find_wheel(server, planned())
    listed.faults = ["403"]
    with pytest.raises(SourceFailed, match="HTTP status 403") as failure:
        find_wheel(server, planned())
    assert not isinstance(failure.value, NotPublished)


def test_a_brief_failure_is_retried(server: LocalServer) -> None:
    listed = Resource(page((FILE, DIGEST)), "text/html", "503", "reset")
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = listed
    assert find_wheel(server, planned()).sha256 == DIGEST
    assert listed.requests == 3


def test_the_credentials_of_a_mirror_are_used(server: LocalServer) -> None:
    server.resources[f"{AUTHORS}/expanded_assets/v2.8.3.post1"] = Resource(
        page((FILE, DIGEST)), "text/html"
    )
    mirror = server.url("/simple").replace("http://", "http://me:pw@")
    find_wheel(server, planned(), {"UV_INDEX": mirror})
    assert server.heard[0].startswith("Basic ")
    find_wheel(server, planned(), {"UV_INDEX": "http://me:pw@127.0.0.1:9/simple"})
    assert server.heard[1] == "", "a login is for its own port only"


def test_all_releases_of_a_third_party_are_searched(server: LocalServer) -> None:
    url = f"https://github.example/download/v0.9.22/{quote(FILE)}"
    asset = {"name": FILE, "browser_download_url": url, "digest": f"sha256:{DIGEST}", "size": 12345}
    first = releases({**asset, "name": OTHER}, more=29)
    server.resources[f"{THIRD}?per_page=30&page=1"] = Resource(first, "application/json")
    last = server.resources[f"{THIRD}?per_page=30&page=2"] = Resource(
        releases(asset), "application/json"
    )
    assert find_wheel(server, planned("third party")) == Wheel(url=url, sha256=DIGEST, size=12345)
    last.data = releases({**asset, "digest": None})
    assert find_wheel(server, planned("third party")).sha256 == ""
    for elsewhere in (releases(), releases({**asset, "browser_download_url": f"{url}/.."})):
        last.data = elsewhere
        with pytest.raises(NotPublished, match="no release of mjun0812"):
            find_wheel(server, planned("third party"))
    last.data = b"<html>"
    with pytest.raises(SourceFailed, match="not a list of releases"):
        find_wheel(server, planned("third party"))


def test_a_list_that_ends_with_a_full_page(server: LocalServer) -> None:
    server.resources[f"{THIRD}?per_page=30&page=1"] = Resource(
        releases(more=29), "application/json"
    )
    server.resources[f"{THIRD}?per_page=30&page=2"] = Resource(b"[]", "application/json")
    with pytest.raises(NotPublished):
        find_wheel(server, planned("third party"))


def test_the_api_of_github_has_its_own_host() -> None:
    assert published_wheels._api("https://github.com") == "https://api.github.com"
    assert published_wheels._api("https://git.example") == "https://git.example/api/v3"
