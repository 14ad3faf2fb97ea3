"""One pass over a log of any size: which patterns and signals occur, where, and how it ends."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from provision.diagnose import lines
from provision.diagnose._model import Line, Reader, Signal
from provision.diagnose.catalogue import Catalogue
from provision.host import _scrub

_LONG: Final = 4000  # longer lines are read in overlapping pieces
_OVERLAP: Final = 300
# Lines of one kind differ in numbers and identifiers only. So many kinds are read; after the first
# ones, which cover almost every log, only lines that may tell of a failure.
_KINDS: Final = 20_000
_MOST_KINDS: Final = 80_000
_FAILURE: Final = (
    *(b"rror", b"ail", b"RROR", b"FATAL", b"fatal", b"annot", b"WARN", b"undefined", b"Unsupp"),
    *(b"not ", b"illed", b"nvalid", b"xception", b"Xid", b"No space", b"out of memory", b"version"),
)
_MOST_HITS: Final = 3
_MOST_SIGNALS: Final = 50
_MOST_ROOTS: Final = 200
_KEPT: Final = 256 * 1024  # of head and tail, for the environment section and the last lines
_IDENTIFIERS: Final = b"0123456789abcdefABCDEF"
_ERROR: Final = re.compile(
    r"(?:^|[\s:.\]])(?:\w+\.)*\w*(?:Error|Exception|Abort|Failure)\b\S*:? ?|\bfatal\b|^E\s|NCCL WARN"
    r"|\bERROR\b|\bKilled\b|^error:|Segmentation fault|core dumped",
)
# These lines report that something failed elsewhere.
WRAPPERS: Final = re.compile(
    r"engine core (?:proc\w*|initialization) (?:died|failed)|EngineCore failed to start|EngineDeadError"
    r"|EngineCore encountered a fatal error|see root cause above|see (?:above|stack trace) for|root cause"
    r"|subprocess-exited-with-error|likely not a problem with pip|originates from a subprocess"
    r"|died unexpectedly|Traceback \(most recent|WorkerProc (?:hit|failed)|returned non-zero exit status"
    r"|Failed building wheel|metadata-generation-failed|did not run successfully|Failed to build"
    r"|encountered error while|Could not build wheels|ChildFailedError|asynchronously reported"
    r"|CUDA_LAUNCH_BLOCKING|TORCH_USE_CUDA_DSA|process \d+ terminated|raise \w+\("
    r"|another exception occurred|direct cause of the following|leaked \w+ objects|end of output"
    r"|Application startup failed|The build backend returned an error|Call to `setuptools",
    re.IGNORECASE,
)


class Scan:
    """The result of one pass over a log."""

    def __init__(self) -> None:
        self.hits: dict[str, list[Line]] = {}
        self.signals: list[Signal] = []
        self.roots: list[Line] = []
        self.wrappers: list[Line] = []
        self.head = ""
        self.tail = ""
        self.last_lines: tuple[Line, ...] = ()
        self.bytes = 0

    @property
    def surroundings(self) -> str:
        """Return beginning and end of the log, where an environment section stands."""
        return (
            self.head if len(self.head) < _KEPT and not self.tail else f"{self.head}\n{self.tail}"
        )


def scan(chunks: Iterable[bytes], catalogue: Catalogue) -> Scan:
    """Read a log once, in bounded memory."""
    found = Scan()
    matcher = _Matcher(catalogue, found)
    number = 1
    tail = b""
    for block in _blocks(chunks):
        if len(found.head) < _KEPT:
            found.head += block[: _KEPT - len(found.head)].decode("utf-8", "replace")
            tail = block[_KEPT:][-_KEPT:] if not found.bytes else (tail + block)[-_KEPT:]
        else:
            tail = (tail + block)[-_KEPT:]
        found.bytes += len(block)
        number = matcher.read(block, number)
    found.tail = tail.decode("utf-8", "replace")
    found.last_lines = _last_lines(found, number)
    return found


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks that end with a line, unless a line is longer than a chunk."""
    rest = b""
    for chunk in chunks:
        block = rest + chunk
        end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if not end:
            if len(block) < 2**20:
                rest = block
                continue
            end = len(block) - _OVERLAP  # a message on the border is in the next block
        rest = block[end:]
        yield block[:end]
    if rest:
        yield rest


def _last_lines(found: Scan, number: int) -> tuple[Line, ...]:
    end = found.tail or found.head
    kept: deque[Line] = deque(maxlen=40)
    texts = re.split(r"[\r\n]", end)
    first = number - end.count("\n")
    for text in texts:
        if plain := lines.cleaned(text[:_LONG]):
            kept.append(evidence(first, plain))
        first += 1
    return tuple(kept)


def evidence(number: int, text: str) -> Line:
    """Return a line as evidence: without secrets and control characters."""
    return Line(line=max(number, 1), text=lines.harmless(_scrub.hide_secrets(text[:_LONG])))


class _Matcher:
    """Matches each kind of line once, alone and together with the line that follows."""

    def __init__(self, catalogue: Catalogue, found: Scan) -> None:
        self.catalogue, self.found = catalogue, found
        self.kinds: dict[int, frozenset[str]] = {}
        # Narrow windows, pip's frames and OCR break messages into two lines.
        self.before: tuple[int, str, frozenset[str]] | None = None

    def read(self, block: bytes, number: int) -> int:
        """Match a block that begins with this line number; return the number of the next one."""
        for raw in block.split(b"\n"):
            if len(raw) > _LONG:
                for begin in range(0, len(raw), _LONG - _OVERLAP):
                    self._segments(raw[begin : begin + _LONG], number)
            elif raw:
                self._segments(raw, number)
            number += 1
        return number - 1

    def _segments(self, raw: bytes, number: int) -> None:
        for segment in raw.split(b"\r") if b"\r" in raw else (raw,):
            kind = hash(segment.translate(None, _IDENTIFIERS))
            if (known := self.kinds.get(kind)) is not None:
                if known and self.before:
                    self._after(segment, number, known)
                self.before = None
                continue
            if len(self.kinds) >= _KINDS and (
                len(self.kinds) >= _MOST_KINDS or not any(word in segment for word in _FAILURE)
            ):
                self.before = None
                continue
            self.kinds[kind] = self._new(segment, number)

    def _new(self, segment: bytes, number: int) -> frozenset[str]:
        """Match a line of a new kind; return what it may be for."""
        names: frozenset[str] = frozenset()
        for part in lines.parts(segment.decode("utf-8", "replace")):
            text = lines.cleaned(part)
            if not text:
                continue
            wanted = self.catalogue.wanted(text.lower())
            self._together(text, number, wanted)
            self._match(text, wanted, number)
            self._remember_roots(text, number)
            begun = self.before[1] if self.before and number - self.before[0] <= 1 else ""
            joined = f"{begun} {text}" if 0 < len(begun) < _OVERLAP else text
            self.before = (number, joined, wanted)
            names |= wanted
        return names

    def _after(self, segment: bytes, number: int, wanted: frozenset[str]) -> None:
        self._together(lines.cleaned(segment.decode("utf-8", "replace")), number, wanted)

    def _together(self, text: str, number: int, wanted: frozenset[str]) -> None:
        """Match what only the line before and this one say together."""
        if self.before:
            first, before, earlier = self.before
            if number - first <= 1 and (names := wanted | earlier):
                self._match(before, names, first, after=text[:_OVERLAP])

    def _match(self, text: str, wanted: frozenset[str], number: int, after: str = "") -> None:
        border = len(text)
        text = f"{text} {after}" if after else text
        for name in wanted:
            if reader := self.catalogue.readers.get(name):
                self._signals(reader, text, number, [text[:border], after] if after else [])
            elif (match := self.catalogue.patterns[name].search(text)) and (
                not after or match.start() < border < match.end()
            ):
                hits = self.found.hits.setdefault(name, [])
                if len(hits) < _MOST_HITS:
                    hits.append(evidence(number, text))

    def _signals(self, reader: Reader, text: str, number: int, alone: list[str]) -> None:
        known = [signal.values for signal in self.found.signals if signal.name == reader.name]
        known += [values for part in alone for values in reader.read(part)]
        for values in reader.read(text):
            if values not in known and len(known) < _MOST_SIGNALS:
                known.append(values)
                where = evidence(number, text)
                self.found.signals.append(Signal(name=reader.name, values=values, where=where))

    def _remember_roots(self, text: str, number: int) -> None:
        if not _ERROR.search(text):
            return
        kept = self.found.wrappers if WRAPPERS.search(text) else self.found.roots
        if len(kept) < _MOST_ROOTS:
            kept.append(evidence(number, text))
