"""The server of the tiny model asked in each way that users ask, and its answers held to the right ones."""

from __future__ import annotations

from . import _openai, _tiny_model

ANSWER_S = 60.0
_WORDS = [_tiny_model.text(prompt) for prompt in _tiny_model.PROMPTS]
_RIGHT = [_tiny_model.text(answer) for answer in _tiny_model.ANSWERS]


def _request(**what: object) -> dict[str, object]:
    return {"model": _tiny_model.NAME, "max_tokens": _tiny_model.TOKENS, "temperature": 0, **what}


def completed(url: str, number: int) -> str:
    asked = _request(prompt=_WORDS[number])
    return _judged("completion", _openai.ask(f"{url}/v1/completions", asked, seconds=ANSWER_S), number)


def chatted(url: str, number: int) -> str:
    asked = _request(messages=[{"role": "user", "content": _WORDS[number]}])
    return _judged("chat", _openai.ask(f"{url}/v1/chat/completions", asked, seconds=ANSWER_S), number)


def _judged(what: str, said: _openai.Said, number: int) -> str:
    if said.status != 200 or said.tokens != _tiny_model.TOKENS:
        got = f"{said.status} and {said.tokens} tokens: {said.text[:200]}"
        return f"a {what} of {_tiny_model.TOKENS} tokens was answered with {got}"
    return _other(what, said.answer, number)


def streamed(url: str, number: int) -> str:
    asked = _request(prompt=_WORDS[number])
    words, count, problem = _openai.stream(f"{url}/v1/completions", asked, seconds=ANSWER_S)
    if problem:
        return f"a streamed completion broke: {problem}"
    if count != _tiny_model.TOKENS:
        return f"a streamed completion of {_tiny_model.TOKENS} tokens had {count}"
    return _other("streamed completion", words, number)


def _other(what: str, words: str, number: int) -> str:
    right = words.split() == _RIGHT[number].split()
    return "" if right else f"a {what} said «{words.strip()[:60]}», and plain torch says «{_RIGHT[number][:60]}»"
