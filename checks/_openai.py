"""A client for servers that speak OpenAI's protocol: whole answers, streams and metrics."""

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
class Response:
    """A status and a text; status 0 and the reason if nothing answered."""

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
        """The text of a completion or a chat."""
        choices = self.document.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else {}
        return _text(first) if isinstance(first, dict) else ""

    @property
    def tokens(self) -> int | None:
        usage = self.document.get("usage")
        count = usage.get("completion_tokens") if isinstance(usage, dict) else None
        return count if isinstance(count, int) else None


def _text(choice: dict[str, Any]) -> str:
    texts = (
        part.get(name)
        for part in (choice, choice.get("message"), choice.get("delta"))
        if isinstance(part, dict)
        for name in ("text", "content")
    )
    return next((text for text in texts if isinstance(text, str)), "")


def ask(url: str, document: object = None, *, seconds: float, key: str = "") -> Response:
    """Return the answer to a request. `seconds` bounds each wait, not all of them together."""
    try:
        with _open(url, document, seconds, key) as answer:
            return Response(answer.status, answer.read(_LIMIT).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        return Response(error.code, _error_text(error))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Response(0, str(getattr(error, "reason", "")) or str(error) or type(error).__name__)


def stream(
    url: str, document: dict[str, Any], *, seconds: float, key: str = ""
) -> tuple[str, int | None, str]:
    """Return the text, the number of tokens as the server counts them, and a problem or ""."""
    text, count, ended = "", None, False
    try:
        settings = {"stream": True, "stream_options": {"include_usage": True}}
        with _open(url, {**document, **settings}, seconds, key) as answer:
            for data in _events(answer):
                if ended := data == "[DONE]":
                    break
                part = Response(answer.status, data)
                text, count = text + part.answer, part.tokens or count
    except urllib.error.HTTPError as error:
        return "", None, f"it was answered with {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return text, count, f"{type(error).__name__}: {error}"
    return text, count, "" if ended else "it ended without [DONE]"


def _open(url: str, document: object, seconds: float, key: str) -> Any:
    data = None if document is None else json.dumps(document).encode()
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    headers = {"Content-Type": "application/json", **authorization}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - callers allow only http(s)
    # No proxy, since the server is on this host or where the user says. No redirect, since a key
    # is meant for one server only.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open(
        request, timeout=seconds
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _error_text(error: urllib.error.HTTPError) -> str:
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
    """Return the values of each metric, one per set of labels; malformed lines are ignored."""
    values: dict[str, list[float]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            with contextlib.suppress(ValueError):
                if math.isfinite(number := float(value)):
                    values.setdefault(name.partition("{")[0], []).append(number)
    return values
