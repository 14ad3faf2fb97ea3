"""The lag of the catalogue behind an index."""

from __future__ import annotations

from pypi_simple import ProjectPage

from provision.catalog.freshness import CatalogLag, behind


def page(dated: bool, *files: str) -> ProjectPage:
    listed = []
    for file in files:
        name, _, moment = file.partition(" ")
        listed.append(
            {"filename": name, "url": name, "hashes": {}, "yanked": moment.endswith("yanked")}
        )
        if dated:
            listed[-1]["upload-time"] = f"{moment.split()[0]}T23:00:00Z"
    data = {"meta": {"api-version": "1.1"}, "name": "vllm", "versions": [], "files": listed}
    return ProjectPage.from_json_data(data, base_url="http://127.0.0.1/")


FILES = (
    "vllm-0.32.0-py3-none-any.whl 2026-10-18",
    "vllm-0.33.0-1-py3-none-any.whl 2026-11-09",
    "vllm-0.33.0-py3-none-any.whl 2026-11-02",
    "vllm-0.34.0rc1-py3-none-any.whl 2026-11-10",
    "vllm-0.35.0-py3-none-any.whl 2026-11-11 yanked",
    "vllm-0.36.0.tar.gz 2026-11-12",
    "vllm-0.32.0.post1-py3-none-any.whl 2026-10-20",
)


def test_newer_final_releases_with_a_wheel_are_missing() -> None:
    lag = behind(["0.9.2", "0.32.0"], page(True, *FILES))
    assert lag == CatalogLag(newest_known="0.32.0", missing=("0.32.0.post1", "0.33.0"), days=15)


def test_an_index_without_dates_tells_no_days() -> None:
    assert behind(["0.32.0"], page(False, *FILES)).days is None


def test_up_to_date() -> None:
    assert behind(["0.33.0"], page(True, *FILES)) == CatalogLag(newest_known="0.33.0", missing=())


def test_an_empty_catalogue_lacks_everything() -> None:
    assert behind([], page(True, *FILES)).missing == ("0.32.0", "0.32.0.post1", "0.33.0")
