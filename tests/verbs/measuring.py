"""Toy checks in place of the real ones; a file sets their results for each version of numpy."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.engine import launch_checks, promised_checks, resolution_cache
from provision.steps.model import Lock, Pin, Wheel
from tests.checks.environments import checks_folder
from tests.verbs.conftest import Place

_BODY = """
from ._contract import Figure
planted = json.loads(Path({path!r}).read_text())[context.pins["numpy"]]
samples = tuple(planted["{name}"] * (1 + i / 1000) for i in range(-2, 3))
with open({path!r} + ".tried", "a") as tried:
    tried.write("{name} " + context.pins["numpy"] + "\\n")
figures = (
    Figure(name="rate", value=samples[2], unit="TFLOP/s", better="higher", samples=samples, repeats=5),
    Figure(name="tokens", value=planted["tokens"]),
    Figure(name="attention backend", value=planted["backend"]),
)
return Verdict(planted["outcome"] != "fail", planted["outcome"], figures=figures)
"""
PROMISED = ("glance", "quick")
_WELL = {
    "glance": 1.0,
    "quick": 540.0,
    "deep": 900.0,
    "tokens": "1 2 3",
    "backend": "FLASH_ATTN",
    "outcome": "pass",
}


class Measuring:
    """Toy checks whose results depend on numpy: 2.2 is planned first, then 2.1."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self._planted = place, place.folder / "planted.json"
        self.say("2.2")
        bodies = {
            name: _BODY.format(path=str(self._planted), name=name)
            for name in ("glance", "quick", "deep")
        }
        folder = checks_folder(place.folder / "checks", **bodies)
        deep = folder / "deep.py"
        deep.write_text(deep.read_text().replace("'quick', Verdict", "'full', Verdict"))
        glance = folder / "glance.py"
        glance.write_text(glance.read_text().replace("'quick', Verdict", "'passive', Verdict"))
        result = launch_checks.discover(folder)
        monkeypatch.setattr(launch_checks, "discover", lambda: result)
        monkeypatch.setattr(
            launch_checks, "run", functools.partial(launch_checks.run, folder=folder)
        )
        assert promised_checks.choose_promised(place.wanted.plan, place.wanted.lock) == PROMISED
        resolution_cache.save(place.prefix, self.with_numpy("2.2"))

    def say(self, numpy: str, **changes: Any) -> None:
        """Set the check results for one version of numpy."""
        planted = json.loads(self._planted.read_text()) if self._planted.exists() else {}
        self._planted.write_text(json.dumps({**planted, numpy: {**_WELL, **changes}}))

    def tried(self) -> list[str]:
        """Return the checks that ran since the last call."""
        path = Path(f"{self._planted}.tried")
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines

    def with_numpy(self, version: str) -> resolution_cache.Resolution:
        """Return the stored resolution of the same request with this numpy in its lock."""
        last = self.place.wanted
        path = self.place.folder / "wheels" / f"numpy-{version}-py3-none-any.whl"
        wheel = Wheel(url=path.as_uri(), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        pins = [pin for pin in last.lock.pins if pin.name != "numpy"]
        plan = msgspec.structs.replace(last.plan, checks=PROMISED)
        lock = Lock(pins=(*pins, Pin(name="numpy", version=version, wheel=wheel)))
        return msgspec.structs.replace(last, plan=plan, lock=lock)

    def upgrade(self, **changes: Any) -> None:
        """Plan numpy 2.1 from now on, and set its check results."""
        self.say("2.1", **changes)
        resolution_cache.save(self.place.prefix, self.with_numpy("2.1"))
