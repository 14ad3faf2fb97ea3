"""The causes, read from one YAML file each, and the patterns and words that find them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from provision import yamltext
from provision.diagnose import literals, signals
from provision.diagnose._model import Cause

FOLDER = Path(__file__).parent / "causes"


class Catalogue:
    """All causes with their compiled patterns, for one pass over a log."""

    def __init__(self, causes: Iterable[Cause]) -> None:
        self.causes = {cause.name: cause for cause in causes}
        texts = {
            text
            for cause in self.causes.values()
            for form in cause.shows
            for text in (form.pattern, form.beside, form.without)
            if text
        }
        self.patterns = {text: re.compile(text, re.IGNORECASE) for text in sorted(texts)}
        self.readers = {reader.name: reader for reader in signals.readers()}
        needs = {text: literals.required(text) for text in self.patterns}
        needs |= {name: frozenset(reader.words) for name, reader in self.readers.items()}
        if without := [text for text, words in needs.items() if not words]:
            raise ValueError(f"patterns without a word that they require: {without}")
        self.by_word: dict[str, list[str]] = {}
        for text, words in needs.items():
            for word in words:
                self.by_word.setdefault(word, []).append(text)
        self.words = tuple(self.by_word)

    def wanted(self, low: str) -> frozenset[str]:
        """Return the patterns and readers that a lower-case line may be for."""
        return frozenset(
            [name for word in self.words if word in low for name in self.by_word[word]]
        )


@functools.cache
def load() -> Catalogue:
    """Return the catalogue of the files in causes/."""
    return Catalogue(read(path) for path in sorted(FOLDER.glob("*.yaml")))


def read(path: Path) -> Cause:
    document = yamltext.parse(path.read_text(encoding="utf-8"), path.name)
    return msgspec.structs.replace(yamltext.typed(document, Cause, path.name), name=path.stem)
