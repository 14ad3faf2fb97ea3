"""Only the source archive of the catalogue is compiled, because its setup runs."""

from __future__ import annotations

import pytest

from provision.catalog import rows
from provision.flash_attn.compile_candidate import find_archive
from provision.steps.model import CandidateRefused
from tests.doors.local_server import Resource, serving

(SOURCE,) = rows.load().flash_attn_source
FILE = f"flash_attn-{SOURCE.version}.tar.gz"
OTHER = "f" * 64


@pytest.mark.parametrize("fragment", [f"#sha256={SOURCE.sha256}", ""])
def test_the_archive_is_held_to_the_hash_of_the_catalogue(fragment: str) -> None:
    with serving() as server:
        page = f'<html><body><a href="{FILE}{fragment}">{FILE}</a></body></html>'
        server.resources["/simple/flash-attn/"] = Resource(page.encode(), "text/html")
        archive = find_archive(SOURCE, server.url("/simple/"))
    assert (archive.file, archive.sha256) == (FILE, SOURCE.sha256)


def test_an_index_with_other_bytes_is_refused() -> None:
    with serving() as server:
        page = f'<html><body><a href="{FILE}#sha256={OTHER}">{FILE}</a></body></html>'
        server.resources["/simple/flash-attn/"] = Resource(page.encode(), "text/html")
        with pytest.raises(CandidateRefused, match=f"{OTHER}, and the catalogue names"):
            find_archive(SOURCE, server.url("/simple/"))


def test_an_index_without_the_release_is_refused() -> None:
    with serving() as server:
        server.resources["/simple/flash-attn/"] = Resource(b"<html></html>", "text/html")
        with pytest.raises(CandidateRefused, match="is not on this index"):
            find_archive(SOURCE, server.url("/simple/"))
