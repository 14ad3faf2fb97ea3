"""The pages of docs/causes: one for each cause, with messages as people search for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from provision.diagnose._model import Cause

_MOST_EXAMPLES = 6
_PLACEHOLDERS = (
    "Words in capitals and in braces stand for values of your host; `diagnose` fills those that "
    "log and host show."
)
INDEX_HEAD = """# Causes

Each page names one cause of a failure: how it shows, what fixes it on the host, and the check that
proves the fix. `./setup.sh diagnose LOG` finds the cause of a log; see [diagnose](../diagnose.md).
These pages are generated from `provision/diagnose/causes/`; do not edit them.

| cause | message |
|---|---|
"""


def page(cause: Cause, examples: Sequence[str]) -> str:
    """Return the page of a cause. `examples` are messages that led to it."""
    title = _plain(cause.title)
    parts = [f"# {cause.name}", f"**{title}**", cause.cause, "## How it shows"]
    parts.append(_fenced(list(dict.fromkeys(examples))[:_MOST_EXAMPLES] or [cause.title], "text"))
    parts += ["## Fix", "The least invasive first:"]
    parts.append(_fenced([fix.line for fix in cause.fix], "sh"))
    parts += [_PLACEHOLDERS, "## Proof", f"`{cause.proof}`"]
    if cause.look_alikes:
        parts += ["## Not to be confused with"]
        parts.append(
            "\n".join(
                f"* [{one.cause}]({one.cause}.md): {one.differs}" for one in cause.look_alikes
            )
        )
    parts += ["## Sources", "\n".join(f"* {_source(text)}" for text in cause.sources)]
    return "\n\n".join(parts) + "\n"


def index(causes: Iterable[Cause]) -> str:
    rows = (f"| [{cause.name}]({cause.name}.md) | {_plain(cause.title)} |" for cause in causes)
    return INDEX_HEAD + "\n".join(rows) + "\n"


def pages(causes: Mapping[str, Cause], examples: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return every page by its file name, with the index as README.md."""
    texts = {f"{name}.md": page(cause, examples.get(name, ())) for name, cause in causes.items()}
    return {"README.md": index(causes.values()), **texts}


def _fenced(lines: Sequence[str], language: str) -> str:
    safe = (line.replace("```", "'''") for line in lines)
    return "\n".join([f"```{language}", *safe, "```"])


def _plain(text: str) -> str:
    """Return text for a table or a headline: nothing in it is Markdown or HTML."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;")):
        text = text.replace(letter, entity)
    return "".join(f"\\{letter}" if letter in "*_`[]" else letter for letter in text)


def _source(text: str) -> str:
    repository, _, number = text.partition("#")
    is_issue = number.isdecimal() and repository.count("/") == 1
    return f"[{text}](https://github.com/{repository}/issues/{number})" if is_issue else f"<{text}>"
