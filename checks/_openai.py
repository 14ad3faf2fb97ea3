"""Asking a server that speaks OpenAI's protocol, with the standard library: whole answers, streams and metrics."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True)
class Said:
    """A status and a text; status 0 and the reason where nobody answered."""

    status: int
    text: str

    @property
    def document(self) -> dict[str, Any]:
        try:
            document = json.loads(self.text)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def answer(self) -> str:
        """The words of a completion or a chat."""
        choices = self.document.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        return _words(choice)

    @property
    def tokens(self) -> int | None:
        usage = self.document.get("usage")
        count = usage.get("completion_tokens") if isinstance(usage, dict) else None
        return count if isinstance(count, int) else None


def _words(choice: dict[str, Any]) -> str:
    for part in (choice, choice.get("message"), choice.get("delta")):
        if isinstance(part, dict):
            for name in ("text", "content"):
                if isinstance(part.get(name), str):
                    return str(part[name])
    return ""


def ask(url: str, document: object = None, *, seconds: float, key: str = "") -> Said:
    """`seconds` bounds each wait for the server, not all of them together."""
    try:
        with _opened(url, document, seconds, key) as answer:
            return Said(answer.status, answer.read(_LIMIT).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        return Said(error.code, _rest(error))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Said(0, str(getattr(error, "reason", "")) or str(error) or type(error).__name__)


def stream(url: str, document: dict[str, Any], *, seconds: float, key: str = "") -> tuple[str, int | None, str]:
    """Words, how many tokens the server counted, and what was wrong with the stream."""
    words, count, ended = "", None, False
    try:
        asked = {**document, "stream": True, "stream_options": {"include_usage": True}}
        with _opened(url, asked, seconds, key) as answer:
            for data in _events(answer):
                if ended := data == "[DONE]":
                    break
                part = Said(answer.status, data)
                words, count = words + part.answer, part.tokens or count
    except urllib.error.HTTPError as error:
        return "", None, f"it was answered with {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return words, count, f"{type(error).__name__}: {error}"
    return words, count, "" if ended else "it ended without [DONE]"


def _opened(url: str, document: object, seconds: float, key: str) -> Any:
    data = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - http or https, as our caller has made sure
    # No proxy: it is asked on this host or where the user says. No redirect: a key is for one server only.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open(request, timeout=seconds)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _rest(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(_LIMIT).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""


def _events(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        field, _, value = line.decode("utf-8", "replace").strip().partition(":")
        if field == "data":
            yield value.strip()


def metrics(text: str) -> dict[str, list[float]]:
    """The values of each metric, one for each set of labels; a line that makes no sense counts nothing."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            with contextlib.suppress(ValueError):
                if math.isfinite(number := float(value)):
                    found.setdefault(name.partition("{")[0], []).append(number)
    return found
