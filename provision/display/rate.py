"""How far something long has come, how fast it goes and how long it still takes, in a few words."""

from __future__ import annotations

from collections import deque
from typing import Final

from provision.engine.events import Progress

_WINDOW_S: Final = 15.0  # speed is that of the last seconds, so that a change of the line shows
_BYTES: Final = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


class Pace:
    """One bar's events as they came; `now` is a reading of the monotonic clock."""

    def __init__(self, first: Progress, now: float) -> None:
        self.last = first
        self.began, self._had = now, first.done
        self._seen = deque([(now, first.done)])

    @property
    def ended(self) -> bool:
        return _is_last(self.last)

    def add(self, progress: Progress, now: float) -> None:
        self.last = progress
        self._seen.append((now, progress.done))
        if progress.unit != "bytes":  # so few of them that only all the time together tells a speed
            return
        while len(self._seen) > 2 and self._seen[1][0] < now - _WINDOW_S:
            self._seen.popleft()

    def figures(self, now: float, width: int = 120) -> str:
        """What is done of what, the speed and the time left, as far as each is known; the speed where there is room."""
        since, had = self._seen[0]
        speed = (self.last.done - had) / (now - since) if now > since else 0.0
        done = self._done_of_total()
        if speed <= 0:
            return done
        fast = f", {_amount(speed, self.last.unit)}/s" if self.last.unit == "bytes" else ""
        left = self.last.total - self.last.done
        still = f", {duration(left / speed)} left" if left > 0 else ""
        return done + fast + still if len(done + fast + still) <= width else done + still

    def summary(self, now: float) -> str:
        """What it came to; what an earlier run had brought counts for no speed."""
        took, brought = now - self.began, self.last.done - self._had
        all_of_it = _amount(self.last.total, self.last.unit)
        if took < 1 or not brought:
            return all_of_it
        fast = f", {_amount(brought / took, self.last.unit)}/s" if self.last.unit == "bytes" else ""
        return f"{all_of_it} in {duration(took)}{fast}"

    def _done_of_total(self) -> str:
        done, total, unit = self.last.done, self.last.total, self.last.unit
        if total <= 0:
            return _amount(done, unit)
        if unit != "bytes":
            return f"{done} of {total} {unit}"
        name, size = _scale(total)
        return f"{done / size:.1f} of {total / size:.1f} {name}"


class Paces:
    """All bars of a step by title; one that has ended is heard of once."""

    def __init__(self) -> None:
        self._by_title: dict[str, Pace] = {}

    def add(self, event: Progress, now: float) -> Pace | None:
        """The event's bar, or None where there is nothing new to say of it."""
        pace = self._by_title.get(event.title)
        if pace and pace.ended and _is_last(event):
            return None
        if pace is None or pace.ended:
            pace = self._by_title[event.title] = Pace(event, now)
        else:
            pace.add(event, now)
        return pace

    def running(self) -> list[Pace]:
        return [pace for pace in list(self._by_title.values()) if not pace.ended]

    def clear(self) -> None:
        self._by_title = {}


def _is_last(event: Progress) -> bool:
    return 0 < event.total <= event.done


def _amount(number: float, unit: str) -> str:
    if unit != "bytes":
        return f"{number:.1f}".removesuffix(".0") + f" {unit}"
    name, size = _scale(number)
    return f"{number / size:.1f} {name}"


def _scale(number: float) -> tuple[str, int]:
    return next((one for one in _BYTES if number >= one[1]), ("kB", 10**3))


def duration(seconds: float) -> str:
    """As a person says it."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
