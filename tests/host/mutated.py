"""Pasted texts as logging, quoting and cutting leave them, and the facts that none of it may add."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from provision.doors import files
from provision.errors import UnreadableInput
from provision.host import facts_read, from_text
from provision.host.facts_read import ReadFacts

TEXTS = sorted(Path(__file__).with_name("collect_env").glob("*.txt"))
SLOWEST_S = 2.0
_PREFIXES = (
    "> ",
    "(RayWorkerWrapper pid=1234, ip=10.0.0.7) ",
    "2025-03-07T05:56:19.773Z ",
    "Jun 03 10:15:01 gpu-host vllm[4711]: ",
    "[pod/vllm-0/server] ",
    "\x1b[36mvllm-1  | \x1b[0m",
)
_WORDS = {"version": "Version", "available": "verfügbar", "configuration": "Konfiguration"}

Mutation = Callable[[str, random.Random], str]


def _lines(change: Callable[[list[str], random.Random], list[str]]) -> Mutation:
    return lambda text, chance: "\n".join(change(text.splitlines(), chance)) + "\n"


def _translated(text: str, chance: random.Random) -> str:
    word = chance.choice(sorted(_WORDS))
    return text.replace(word, _WORDS[word])


def _recoded(text: str, chance: random.Random) -> str:
    wide = chance.random() < 0.5
    if wide:  # PowerShell writes UTF-16
        return files.as_text(text.encode("utf-16"))
    return text.encode().decode("latin-1")


MUTATIONS: tuple[Mutation, ...] = (
    _lines(lambda lines, chance: [line for line in lines if chance.random() > 0.1]),
    _lines(lambda lines, chance: [line for line in lines for _ in range(chance.choice((1, 1, 2)))]),
    _lines(lambda lines, chance: [chance.choice(_PREFIXES) + line for line in lines]),
    lambda text, _: " ".join(text.split("\n")),
    lambda text, chance: text[: chance.randrange(1, len(text) + 1)],
    lambda text, chance: text[chance.randrange(len(text)) :],
    lambda text, _: json.dumps({"body": text}),
    lambda text, _: text.replace("\n", "\r\n"),
    _translated,
    _recoded,
)


def mutated(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield texts, each with a form of it after one to three mutations."""
    chance, texts = random.Random(seed), [path.read_text() for path in TEXTS]
    for _ in range(count):
        text = result = chance.choice(texts)
        for mutation in chance.sample(MUTATIONS, chance.randint(1, 3)):
            result = mutation(result, chance) or " "
        yield text, result


def faults(text: str, changed: str) -> list[str]:
    """Return the facts that a mutation added, and whether reading it took too long."""
    began = time.process_time()
    try:
        facts = facts_read.of_host(from_text.parse(changed, "the text"))
    except UnreadableInput:  # one sentence, no fact
        facts = ReadFacts()
    seconds = time.process_time() - began
    told = msgspec.to_builtins(facts_read.of_host(from_text.parse(text, "the text")))
    added = [
        f"{name}: {value!r} of {told[name]!r}"
        for name, value in msgspec.to_builtins(facts).items()
        if not _was_told(value, told[name])
    ]
    return [*added, *([f"{seconds:.1f} s"] if seconds > SLOWEST_S else [])]


def _was_told(value: Any, told: Any) -> bool:
    """Return whether a value, or the beginning of one that was cut, is in the whole text."""
    if value is None or value == told:
        return True
    if isinstance(value, str):
        return isinstance(told, str) and told.startswith(value)
    if isinstance(value, tuple):
        return (
            isinstance(told, tuple)
            and len(value) <= len(told)
            and all(any(_was_told(one, other) for other in told) for one in value)
        )
    if isinstance(value, dict):
        return isinstance(told, dict) and all(
            key in told and _was_told(one, told[key]) for key, one in value.items()
        )
    return value is False
