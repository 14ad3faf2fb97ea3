"""Downloads into the wheel store: finished wheels stay, failures stop others, bytes are kept."""

from __future__ import annotations

import hashlib
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.doors import download, interruption, remote_file
from provision.engine import fetch
from provision.errors import NotWritable, SourceFailed
from provision.events import Event, Progress
from provision.steps.model import Fetch, Lock, Pin, Wheel
from tests.doors.local_server import LocalServer, Resource, serving
from tests.patience import until

FILES = {
    f"toy{number}-1.0-py3-none-any.whl": random.Random(number).randbytes(200_000 * number)
    for number in range(1, 6)
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(remote_file, "_PAUSE_S", 0.0)
    with serving() as running:
        running.resources = {f"/{name}": Resource(data) for name, data in FILES.items()}
        yield running


def action(server: LocalServer, folder: Path) -> Fetch:
    def wheel(name: str, data: bytes) -> Wheel:
        return Wheel(
            url=server.url(f"/{name}"), sha256=hashlib.sha256(data).hexdigest(), size=len(data)
        )

    return Fetch(
        title="toys", folder=str(folder), wheels=tuple(wheel(*item) for item in FILES.items())
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_wheel_is_fetched_once_with_progress(server: LocalServer, tmp_path: Path) -> None:
    events: list[Event] = []
    lines = fetch.fetch(action(server, tmp_path / "store"), {}, events.append)
    assert contents(tmp_path / "store") == FILES
    assert len(lines) == 1 + len(FILES)
    total = sum(map(len, FILES.values()))
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[-1].done, progress[-1].total, progress[-1].unit) == (total, total, "bytes")
    served = {name: resource.served for name, resource in server.resources.items()}
    assert fetch.fetch(action(server, tmp_path / "store"), {}, events.append) == [
        f"5 already in {tmp_path / 'store'}"
    ]
    assert served == {name: resource.served for name, resource in server.resources.items()}


def test_a_failed_download_stops_the_others_and_their_bytes_stay(
    server: LocalServer, tmp_path: Path
) -> None:
    lost = server.resources.pop("/toy3-1.0-py3-none-any.whl")
    server.resources["/toy5-1.0-py3-none-any.whl"].faults = ["trickle"]
    with pytest.raises(SourceFailed, match="HTTP status 404"):
        fetch.fetch(action(server, tmp_path), {}, lambda _: None)
    assert not (tmp_path / "toy5-1.0-py3-none-any.whl").exists(), "it was stopped"
    server.resources["/toy3-1.0-py3-none-any.whl"] = lost
    fetch.fetch(action(server, tmp_path), {}, lambda _: None)
    assert contents(tmp_path) == FILES


def test_an_interruption_stops_the_downloads_and_their_bytes_stay(
    server: LocalServer, tmp_path: Path
) -> None:
    server.resources["/toy5-1.0-py3-none-any.whl"].faults = ["trickle"]

    def interrupt(_: Event) -> None:
        if len(list(tmp_path.glob("*.whl"))) == len(FILES) - 1:
            signal.raise_signal(signal.SIGTERM)

    with interruption.as_keyboard_interrupt(), pytest.raises(KeyboardInterrupt):
        fetch.fetch(action(server, tmp_path), {}, interrupt)
    assert threading.active_count() < 20
    assert len(list(tmp_path.glob(".toy5*.part"))) == 1
    with interruption.as_keyboard_interrupt():
        fetch.fetch(action(server, tmp_path), {}, lambda _: None)
    assert contents(tmp_path) == FILES


def downloads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "download"]


def test_a_silent_source_delays_neither_a_failure_nor_an_interruption(
    server: LocalServer, tmp_path: Path
) -> None:
    """A stopped download sends no more requests."""
    silent = server.resources["/toy5-1.0-py3-none-any.whl"]
    del server.resources["/toy3-1.0-py3-none-any.whl"]
    silent.faults = ["stall"] * 9
    with pytest.raises(SourceFailed, match="HTTP status 404"):
        fetch.fetch(action(server, tmp_path), {}, lambda _: None)
    assert downloads(), "its thread is left behind"
    server.released.set()
    until(lambda: not downloads())
    assert silent.requests == 1


def test_a_full_disk_is_named(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "download", full)
    with pytest.raises(NotWritable, match="No space left on device"):
        fetch.fetch(action(server, tmp_path), {}, lambda _: None)


def test_a_login_comes_from_the_address_of_the_index(server: LocalServer, tmp_path: Path) -> None:
    index = server.url("/simple/").replace("://", "://me:hunter2@")
    fetch.fetch(action(server, tmp_path), {"UV_DEFAULT_INDEX": index}, lambda _: None)
    assert set(server.heard) == {"Basic bWU6aHVudGVyMg=="}


def test_missing_sizes_are_requested(server: LocalServer, tmp_path: Path) -> None:
    here, lost = tmp_path / "here.whl", "/toy1-1.0-py3-none-any.whl"
    here.write_bytes(b"12345")
    del server.resources[lost]
    urls = [here.as_uri(), server.url("/toy2-1.0-py3-none-any.whl"), server.url(lost)]
    pins = [Pin(name=url, version="1", wheel=Wheel(url=url, sha256="")) for url in urls]
    assert [pin.wheel.size for pin in fetch.with_sizes(Lock(pins=tuple(pins)), {}).pins] == [
        5,
        400_000,
        0,
    ]


def test_progress_is_reported_once(server: LocalServer, tmp_path: Path) -> None:
    events: list[Event] = []
    with fetch.Fetching({}, events.append) as fetching:
        assert len(fetching.finish(action(server, tmp_path))) == 1 + len(FILES)
        count = len(events)
        fetching.finish(action(server, tmp_path))
        assert len(events) == count


def test_wheels_of_later_steps_are_fetched_in_the_background(
    server: LocalServer, tmp_path: Path
) -> None:
    everything = action(server, tmp_path)
    first, later = everything.only(everything.wheels[:1]), everything.only(everything.wheels[1:])
    assert (first.title, later.title) == ("fetch 1 wheel", "fetch 4 wheels")
    with fetch.Fetching({}, lambda _: None) as fetching:
        fetching.finish(first)
        fetching.begin(later)
        until(lambda: all((tmp_path / name).exists() for name in FILES))
        assert contents(tmp_path) == FILES
        assert [line.split()[0] for line in fetching.finish(later)] == [
            "0",
            "fetched",
            "fetched",
            "fetched",
            "fetched",
        ]
