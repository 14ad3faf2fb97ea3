"""Read how pip and uv are configured. Runs in the reading child: standard library only."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from provision.host._word_list import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The only options that are kept: a configuration file may hold passwords.
PIP_OPTIONS = frozenset(
    (
        *(
            "index-url",
            "extra-index-url",
            "find-links",
            "no-index",
            "cert",
            "client-cert",
            "trusted-host",
            "proxy",
        ),
        *("constraint", "target", "user", "prefix", "root", "require-virtualenv"),
    )
)
UV_VARIABLES = {
    "UV_DEFAULT_INDEX": "default-index",
    "UV_INDEX_URL": "index-url",
    "UV_INDEX": "index",
    "UV_EXTRA_INDEX_URL": "extra-index-url",
    "UV_FIND_LINKS": "find-links",
    "UV_NO_INDEX": "no-index",
    "UV_INSECURE_HOST": "allow-insecure-host",
    "UV_CONSTRAINT": "constraint",
    "UV_OFFLINE": "offline",
    "SSL_CERT_FILE": "cert",
}
WHEEL_LIMIT = 2000


def installer_config() -> dict[str, Any]:
    environ = dict(os.environ)
    pip = pip_options(_texts(pip_files(environ)), environ)
    uv = uv_options(_texts(uv_files(environ)), environ)
    return {
        "pip": pip,
        "uv": uv,
        "wheels": sorted(
            {
                name
                for link in words(pip.get("find-links", "")) + words(uv.get("find-links", ""))
                for name in _wheels(link)
            }
        )[:WHEEL_LIMIT],
    }


def pip_files(environ: Mapping[str, str]) -> list[str]:
    """Return pip's configuration files, weakest first, in pip's own order."""
    home = os.path.expanduser("~")
    system = [
        f"{folder}/pip/pip.conf"
        for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        if folder
    ]
    user = [
        f"{home}/.pip/pip.conf",
        f"{environ.get('XDG_CONFIG_HOME') or home + '/.config'}/pip/pip.conf",
    ]
    named = environ.get("PIP_CONFIG_FILE", "")
    site = [f"{environ['VIRTUAL_ENV']}/pip.conf"] if environ.get("VIRTUAL_ENV") else []
    # PIP_CONFIG_FILE replaces the user's files and has the highest priority.
    own = [] if named and Path(named).exists() else user
    return [*system, "/etc/pip.conf", *own, *site, *([named] if named else [])]


def uv_files(environ: Mapping[str, str]) -> list[str]:
    if environ.get("UV_CONFIG_FILE"):
        return [environ["UV_CONFIG_FILE"]]
    return [
        "/etc/uv/uv.toml",
        f"{environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')}/uv/uv.toml",
    ]


def pip_options(texts: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge pip's files and variables.

    Later files replace earlier ones, [install] replaces [global], variables replace files.
    """
    shared: dict[str, str] = {}
    install: dict[str, str] = {}
    for text in texts:
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself refuses this file with a better message
        for section, options in (("global", shared), ("install", install)):
            if parser.has_section(section):
                options.update(
                    {_option(name): value for name, value in parser.items(section) if value}
                )
    variables = {
        _option(name[4:]): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }
    return {
        name: value
        for name, value in sorted((shared | install | variables).items())
        if name in PIP_OPTIONS
    }


def _option(name: str) -> str:
    return name.lower().replace("_", "-")


# Python 3.10 has no TOML reader, and the reading child no third-party packages.
_TOML_KEY = re.compile(
    r"""^[ \t]*([a-z-]+)[ \t]*=[ \t]*(\[[^\]]*\]|"[^"\n]*"|'[^'\n]*'|true|false)""", re.MULTILINE
)
_TOML_TEXT = re.compile(r"""["']([^"'\n]*)["']""")


def uv_options(texts: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the keys of uv.toml that name package sources with uv's variables."""
    merged: dict[str, str] = {}
    for text in texts:
        top, *indexes = re.split(r"^[ \t]*\[\[index\]\][^\n]*$", text, flags=re.MULTILINE)
        keys = {name: _toml_value(value) for name, value in _TOML_KEY.findall(top)}
        merged |= {name: keys[name] for name in set(UV_VARIABLES.values()) & keys.keys()}
        for block in indexes:
            table = {
                name: _toml_value(value)
                for name, value in _TOML_KEY.findall(re.split(r"^\[", block, flags=re.MULTILINE)[0])
            }
            name = "default-index" if table.get("default") == "true" else "index"
            if table.get("url"):
                merged[name] = (
                    f"{merged.get(name, '') if name == 'index' else ''} {table['url']}".strip()
                )
    merged |= {option: environ[name] for name, option in UV_VARIABLES.items() if environ.get(name)}
    return dict(sorted(merged.items()))


def _toml_value(value: str) -> str:
    return value if value in ("true", "false") else " ".join(_TOML_TEXT.findall(value))


def _texts(paths: Iterable[str]) -> list[str]:
    texts = []
    for path in paths:
        try:
            texts.append(Path(path).read_text(errors="replace"))
        except OSError:  # most of these files do not exist
            continue
    return texts


def _wheels(link: str) -> list[str]:
    folder = (
        unquote(urlsplit(link).path) if link.startswith("file://") else os.path.expanduser(link)
    )
    try:
        return [entry.name for entry in Path(folder).iterdir() if entry.suffix == ".whl"]
    except OSError:  # a web page or a missing folder
        return []
