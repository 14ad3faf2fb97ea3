"""The order of the certificate bundles of a host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.doors import certificates, sessions


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield
    certificates.trust(None)


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, str]:
    for name in ("environment", "configured"):
        (tmp_path / name).write_text("")
    return {name: str(tmp_path / name) for name in ("environment", "configured", "not-there")}


def test_the_environment_comes_first(
    bundles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.trust(bundles["configured"])
    monkeypatch.setenv("SSL_CERT_FILE", bundles["environment"])
    assert sessions.session().verify == bundles["environment"]


def test_the_settings_of_pip_come_second(
    bundles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.trust(bundles["configured"])
    monkeypatch.setenv("PIP_CERT", bundles["not-there"])
    assert sessions.session().verify == bundles["configured"]


def test_the_system_comes_third_and_the_library_last(
    bundles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.trust(bundles["not-there"])
    monkeypatch.setenv("SSL_CERT_FILE", bundles["not-there"])
    monkeypatch.setattr(certificates, "_SYSTEM", (bundles["environment"],))
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: type("Paths", (), {"cafile": None}))
    assert sessions.session().verify == bundles["environment"]
    monkeypatch.setattr(certificates, "_SYSTEM", ())
    assert sessions.session().verify is True
