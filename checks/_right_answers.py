"""Asks a server of the tiny model in each way that users ask, and compares the answers."""

from __future__ import annotations

from . import _openai, _tiny_model

ANSWER_S = 60.0
_FIRST_ANSWER_S = 300.0  # Triton may compile kernels for the first request
_PROMPTS = [_tiny_model.text(prompt) for prompt in _tiny_model.PROMPTS]
_ANSWERS = [_tiny_model.text(answer) for answer in _tiny_model.ANSWERS]


def _request(**content: object) -> dict[str, object]:
    settings = {"max_tokens": _tiny_model.TOKENS, "temperature": 0}
    return {"model": _tiny_model.NAME, **settings, **content}


def warm_up(url: str) -> str:
    """Have a first request answered, right or wrong; return why there was no answer, or ""."""
    request = _request(prompt=_PROMPTS[0])
    response = _openai.ask(f"{url}/v1/completions", request, seconds=_FIRST_ANSWER_S)
    if response.status == 200:
        return ""
    return f"the first request was answered with {response.status}: {response.text[:200]}"


def check_completion(url: str, number: int) -> str:
    return _ask("completion", f"{url}/v1/completions", number, prompt=_PROMPTS[number])


def check_chat(url: str, number: int) -> str:
    messages = [{"role": "user", "content": _PROMPTS[number]}]
    return _ask("chat", f"{url}/v1/chat/completions", number, messages=messages)


def _ask(kind: str, url: str, number: int, **content: object) -> str:
    response = _openai.ask(url, _request(**content), seconds=ANSWER_S)
    if response.status != 200 or response.tokens != _tiny_model.TOKENS:
        answer = f"{response.status} and {response.tokens} tokens: {response.text[:200]}"
        return f"a {kind} of {_tiny_model.TOKENS} tokens was answered with {answer}"
    return _compare(kind, response.answer, number)


def check_stream(url: str, number: int) -> str:
    request = _request(prompt=_PROMPTS[number])
    text, count, problem = _openai.stream(f"{url}/v1/completions", request, seconds=ANSWER_S)
    if problem:
        return f"a streamed completion broke: {problem}"
    if count != _tiny_model.TOKENS:
        return f"a streamed completion of {_tiny_model.TOKENS} tokens had {count}"
    return _compare("streamed completion", text, number)


def _compare(kind: str, text: str, number: int) -> str:
    right = _ANSWERS[number]
    wrong = f"a {kind} said «{text.strip()[:60]}», and plain torch says «{right[:60]}»"
    return "" if text.split() == right.split() else wrong
