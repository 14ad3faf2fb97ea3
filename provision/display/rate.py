"""Progress in figures: how much is done, how fast, and how long the rest takes."""

from __future__ import annotations

from collections import deque
from typing import Final

from provision.events import Progress

_WINDOW_S: Final = 15.0  # the speed of the last seconds, so that a slower connection shows
_BYTES: Final = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


class Pace:
    """The events of one bar; `now` is always a reading of the monotonic clock."""

    def __init__(self, first: Progress, now: float) -> None:
        self.last = first
        self.began, self._done_before = now, first.done
        self._samples = deque([(now, first.done)])

    @property
    def ended(self) -> bool:
        return _is_last(self.last)

    def add(self, progress: Progress, now: float) -> None:
        self.last = progress
        self._samples.append((now, progress.done))
        if progress.unit != "bytes":  # a few files: only the whole time gives a usable speed
            return
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW_S:
            self._samples.popleft()

    def figures(self, now: float, width: int = 120) -> str:
        """Return amount, speed and remaining time; the speed only if it fits into the width."""
        since, before = self._samples[0]
        speed = (self.last.done - before) / (now - since) if now > since else 0.0
        amount = self._done_of_total()
        if speed <= 0:
            return amount
        rest = self.last.total - self.last.done
        remaining = f", {duration(rest / speed)} left" if rest > 0 else ""
        complete = f"{amount}{self._per_second(speed)}{remaining}"
        return complete if len(complete) <= width else amount + remaining

    def summary(self, now: float) -> str:
        """Return the total and its time; bytes of an earlier run do not count for the speed."""
        seconds, progress = now - self.began, self.last.done - self._done_before
        total = amount(self.last.total, self.last.unit)
        # Most of it may have come while other steps ran: then nobody knows how fast.
        if seconds < 1 or 2 * progress < self.last.total:
            return total
        return f"{total} in {duration(seconds)}{self._per_second(progress / seconds)}"

    def _per_second(self, speed: float) -> str:
        return f", {amount(speed, 'bytes')}/s" if self.last.unit == "bytes" else ""

    def _done_of_total(self) -> str:
        done, total, unit = self.last.done, self.last.total, self.last.unit
        if total <= 0:
            return amount(done, unit)
        if unit != "bytes":
            return f"{done} of {total} {unit}"
        name, size = _scale(total)
        return f"{done / size:.1f} of {total / size:.1f} {name}"


class Paces:
    """All bars of a step by title; each reports its end once."""

    def __init__(self) -> None:
        self._by_title: dict[str, Pace] = {}

    def add(self, event: Progress, now: float) -> Pace | None:
        """Return the bar of an event, None if it has reported its end already."""
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


def amount(number: float, unit: str) -> str:
    if unit != "bytes":
        return f"{number:.1f}".removesuffix(".0") + f" {unit}"
    name, size = _scale(number)
    return f"{number / size:.1f} {name}"


def _scale(number: float) -> tuple[str, int]:
    return next(((name, size) for name, size in _BYTES if number >= size), ("kB", 10**3))


def duration(seconds: float) -> str:
    """Return a duration as people say it: 5 s, 3 min 20 s, 1 h 05 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
