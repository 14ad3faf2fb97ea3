"""Messages of pip and uv when no version, wheel or platform fits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_PACKAGE = r"[`'\"]?(?P<package>[A-Za-z][\w.-]*)"
_MESSAGES = (
    ("python", r"no wheels with a matching Python (?:ABI|version|implementation) tag"),
    ("python", r"only (?:found|has) wheels (?:for .{1,80} )?with the following Python (?:ABI|version|implementation) tag"),
    ("python", rf"Package {_PACKAGE}['\"]? requires a different Python"),
    ("python", r"current Python version \([\d.]+\w*\) does not satisfy Python ?[<>=]"),
    ("python", r"Ignored the following versions that require a different python"),
    ("python", r"Cannot install on Python version [\d.]+; only versions"),
    ("python", r"configured Python interpreter version \([\d.]+\) is newer than PyO3's maximum"),
    ("python", r"Requires-Python[: ]+[<>=~!]"),
    ("python", r"requires a Python version|The (?:requested|current) Python .{0,60}does not (?:satisfy|support)|requires Python [<>=]{1,2} ?3"),
    ("windows", r"(?:matching platform tag|on the current platform|current platform|You're on)[^\n]{0,80}(?:win_amd64|Windows)"),
    ("macos", r"(?:matching platform tag|on the current platform|current platform|You're on)[^\n]{0,80}(?:macosx|macOS|darwin)"),
    ("glibc", r"(?:matching platform tag|current platform|You're on)[^\n]{0,80}manylinux_2_\d+"),
    ("aarch64", r"(?:matching platform tag|current platform|You're on)[^\n]{0,80}aarch64"),
    ("platform", r"(?:no wheels with a matching platform tag|source distribution or wheel for the current platform)"),
    ("nothing", rf"Could not find a version that satisfies the requirement {_PACKAGE}.{{0,80}}\(from versions: none\)"),
    ("nothing", rf"No matching distribution found for {_PACKAGE}"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _MESSAGES)
_WHEEL = re.compile(
    r"(?P<file>[\w.+%-]+?-(?P<tag>cp\d+|py[\d.py]+)-\w+-(?P<platform>[\w.]+)\.whl) is not a supported wheel",
    re.IGNORECASE,
)


def read(text: str) -> Iterator[dict[str, str]]:
    if wheel := _WHEEL.search(text):
        yield {"kind": "wheel", "tag": wheel["tag"], "platform": wheel["platform"]}
        return
    for kind, pattern in _COMPILED:
        if match := pattern.search(text):
            yield {"kind": kind, **match.groupdict()}
            return


READER = Reader(
    name="resolver",
    words=(
        *("matching p", "following p", "different python", "not satisfy", "only versions"),
        *("pyo3's maximum", "requires-python", "requires a python", "requires python", "current platform"),
        *("you're on", "from versions: none", "no matching distribution", "not a supported wheel", "not support"),
    ),
    read=read,
)  # fmt: skip
