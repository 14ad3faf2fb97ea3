"""Remove secrets and identities from readings before they are stored."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

HIDDEN = "***"

# Names whose value is a secret. "tokenizer" and "max_tokens" are not among them. What stands around
# the word is bounded: otherwise a long line of such words would take minutes.
_SENSITIVE = (
    r"[\w.-]{0,100}(?:(?<!tik)token(?!iz|s)|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|user_?name"
    r"|account[_-]?key|[_-]pwd\b|\bjwt\b|[_-]jwt\b|credential|authorization|[_-]auth\b|license[_-]?key)[\w.-]{0,100}"
)
SECRET_NAME = re.compile(rf"{_SENSITIVE}|(?:set[_-])?cookies?", re.IGNORECASE)
_HARMLESS_VALUE = re.compile(
    r"(?:\d{1,7}(?:\.\d+)?|true|false|yes|no|on|off|set|unset|\*\*\*)", re.IGNORECASE
)

# User or host names of some machines that also mean something else in readings.
_ORDINARY = frozenset(
    """
    root user users admin guest test linux ubuntu debian fedora centos rhel rocky alma alpine
    arch suse nvidia cuda tesla host node login local localhost localdomain default python
    conda docker podman kubernetes slurm intel open proprietary online enforcing permissive
    disabled unlimited data work home nobody unknown jetson tegra orin thor microsoft azure
    amazon google cloud server gcc clang driver kernel module version name model memory vllm
    torch pytorch pypi github prefix logs cache checkout tmpdir
    """.split()  # noqa: SIM905 - eighty words are easier to read this way
)

_SECRETS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Anchored at the beginning of a word: tried at every letter, a long line would take minutes.
    (re.compile(r"(?<![a-z0-9+.-])([a-z0-9+.-]+://)[^\s/\"'<>]*@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^*].*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        rf"\1{HIDDEN}\2",
    ),
    (
        re.compile(
            r"\b(cookie[\"']?\s*:\s*[\"']?)[^\s\"'=;]+=[^\s\"';]*(?:;\s*[^\s\"'=;]+=[^\s\"';]*)*",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"([?&](?:x-(?:amz|goog)-)?sig(?:nature)?=)[^\s&\"'<>]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/-]{6,}=*", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"\b(?:hf_\w{10,}|gh[oprsu]_\w{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|sk-[\w-]{16,}|nvapi-[\w-]{8,}"
            r"|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{24,}|xox[abprs]-[\w-]{8,}|A[KS]IA[0-9A-Z]{12,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?)"
        ),
        HIDDEN,
    ),
    (
        re.compile(
            rf"(?<![\w.-])({_SENSITIVE}[\"']?\s*[=:]\s*[\"']?)([^\s\"',;&]+)", re.IGNORECASE
        ),
        lambda match: match[0] if _HARMLESS_VALUE.fullmatch(match[2]) else match[1] + HIDDEN,
    ),
    (
        re.compile(rf"(?<![\w.-])(--{_SENSITIVE}\s+[\"']?)(?!-)([^\s\"',;&]+)", re.IGNORECASE),
        lambda match: match[0] if _HARMLESS_VALUE.fullmatch(match[2]) else match[1] + HIDDEN,
    ),
)
_FOUR = r"(?:\d{1,3}\.){3}\d{1,3}"
# A URL keeps its host: a mirror is part of how this host is set up. Elsewhere four numbers are an
# address unless they look like a version ("5.15.153.1-microsoft", "cudnn-9.1.0.70", "==9.1.0.70").
_ADDRESS = re.compile(
    rf"(?<![a-z0-9+.-])[a-z0-9+.-]+://\S*|(?<![\w.+-])(?!127\.|0\.0\.0\.0){_FOUR}(?![\w+-]|\.\w)"
)
# Four numbers are a version after a comparison, the word itself, or a library that has such
# versions.
_OF_A_VERSION = re.compile(
    r"(?:[=<>!~]=|\bversion|-cu\d\d|\bnvidia-[\w-]+|\b(?:cudnn|nccl|cublas|cufft|cufile|nvshmem))[\"']?[\s:=(,]{0,3}[\"']?$",
    re.IGNORECASE,
)


def _is_version(match: re.Match[str]) -> bool:
    parts = [int(part) for part in match[0].split(".")]
    if parts[0] == 0 or max(parts) > 255:
        return True
    return bool(_OF_A_VERSION.search(match.string[max(match.start() - 60, 0) : match.start()]))


_PATTERNS = (
    *_SECRETS,
    (
        re.compile(
            r"\b(serial(?:[ _-]?(?:number|no))?\s*[=:]?\s+|serial[\w ]{0,10}[=:]\s*)"
            r"[\w.-]*\d[\w.-]*",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"\b(GPU|MIG)-(?:GPU-)?[0-9a-f]{8}-[0-9a-f-]{8,}(?:/\d+)*", re.IGNORECASE),
        rf"\1-{HIDDEN}",
    ),
    (re.compile(r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b", re.IGNORECASE), HIDDEN),
    (re.compile(r"\b[0-9a-f]{64}\b"), HIDDEN),
    (re.compile(r"(/dev/disk/by-id/)[^\s\"',]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:[0-9a-f]{2}[:-]){5,}[0-9a-f]{2}\b", re.IGNORECASE), HIDDEN),
    # IPv6: global, local and link-local prefixes; never a PCI address such as 2001:00:00.0
    (
        re.compile(
            r"(?<![\w:])(?![0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b)"
            r"(?:[23][0-9a-f]{3}|f[cde][0-9a-f]{2}):(?:[0-9a-f]{0,4}:){1,6}[0-9a-f]{0,4}(?![\w:])",
            re.IGNORECASE,
        ),
        HIDDEN,
    ),
    (re.compile(r"(/(?:home|users|Users)/)(?!\*\*\*)[^/\s:\"',;]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\\Users\\)(?!\*\*\*)[^\\\s\"',;]+", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def hide_secrets(text: str) -> str:
    """Hide secrets only.

    A log of this host keeps paths and hashes, because its reader works on this host.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class Scrubber:
    """Removes the names of this user and this host; everything else stays as it was read.

    `versions` look like addresses and are none: "9.1.0.70".
    """

    def __init__(
        self,
        *,
        home: str = "",
        users: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        versions: Iterable[str] = (),
    ) -> None:
        self._who: dict[str, Any] = {"home": home, "users": users, "hosts": hosts}
        self._versions = frozenset(versions)
        own_names: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = []
        if len(home.rstrip("/")) > 1:
            own_names.append(
                (re.compile(rf"(?<![\w.-]){re.escape(home.rstrip('/'))}(?![\w.-])"), "~")
            )
        labels = {label for host in hosts for label in (host, host.split(".")[0])}
        names = [name for name in sorted({*users, *labels}, key=len, reverse=True) if name]
        own_names += [(_word(name), HIDDEN) for name in names]
        self._parts = [name for name in names if _is_telling(name)]
        self._patterns = (*_PATTERNS[:1], *own_names, *_PATTERNS[1:], (_ADDRESS, self._address))

    def with_versions(self, versions: Iterable[str]) -> Scrubber:
        """Return the same scrubber, knowing that these are versions."""
        return Scrubber(**self._who, versions=versions)

    def text(self, text: str) -> str:
        for pattern, replacement in self._patterns:
            text = pattern.sub(replacement, text)
        return text

    def within_words(self, text: str, but: Container[str] = ()) -> str:
        """Hide our names inside longer words too, as in `/tmp/ray_NAME`, except those in `but`."""
        folded = _alike(text)
        for name in self._parts:
            if _alike(name) in folded and name.lower() not in but:
                text = _part(name).sub(HIDDEN, text)
        return text

    def _address(self, match: re.Match[str]) -> str:
        address = match[0]
        return (
            address
            if "://" in address or address in self._versions or _is_version(match)
            else HIDDEN
        )

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Scrub every string in a JSON value; hide a value under a secret's name whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._entry(key, item) for key, item in value.items()}
        return value

    def _entry(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, str) and value and "/" not in name and SECRET_NAME.fullmatch(name):
            return value if _HARMLESS_VALUE.fullmatch(value) else HIDDEN
        if isinstance(value, str) and re.fullmatch(_FOUR, value) and _OF_A_VERSION.search(name):
            return value
        return self.value(value)


def _is_telling(name: str) -> bool:
    return len(name) >= 4 and name.lower() not in _ORDINARY


def _alike(text: str) -> str:
    return text.lower().replace("_", "-")


@functools.cache
def _part(name: str) -> re.Pattern[str]:
    """Match a name between non-alphanumeric characters; "-" may have become "_"."""
    pattern = re.sub(r"(?:\\-|_)", "[-_]", re.escape(name))
    return re.compile(rf"(?<![^\W_]){pattern}(?![^\W_])", re.IGNORECASE)


def _word(name: str) -> re.Pattern[str]:
    """Match a name as a whole word.

    A short or ordinary word must stand where only a name can stand.
    """
    if _is_telling(name):
        return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)
    return re.compile(
        rf"(?<=[/:=@]){re.escape(name)}(?=@)|(?<=\buser[=:/]){re.escape(name)}(?![\w-])"
    )
