"""The operating system, as its line names it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found
from provision.host.from_paste._paste import NOTHING
from provision.host.os_release import OsRelease

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_MACHINE: Final = re.compile(r"\s*\((?:(?:x86_64|aarch64|ppc64le|amd64|arm64)\).*|[^)]*)$")
_IDS: Final = (
    ("ubuntu", "ubuntu"),
    ("debian", "debian"),
    ("red hat", "rhel"),
    ("centos", "centos"),
    ("rocky", "rocky"),
    ("alma", "almalinux"),
    ("oracle", "ol"),
    ("fedora", "fedora"),
    ("amazon", "amzn"),
    ("suse linux enterprise", "sles"),
    ("opensuse", "opensuse"),
    ("linux mint", "linuxmint"),
    ("pop!_os", "pop"),
    ("arch linux", "arch"),
)


def read(paste: Paste) -> Found | None:
    for value in paste.values("os"):
        name = _MACHINE.sub("", value.text).strip()
        if name and not NOTHING.fullmatch(name):
            version = re.search(r"\b\d{1,4}(?:\.\d{1,3}){0,2}\b", name)
            known = (id_ for word, id_ in _IDS if word in name.lower())
            return Found(
                OsRelease(
                    id=next(known, name.split()[0].lower()),
                    name=name,
                    version=version[0] if version else None,
                ),
                (value.number,),
            )
    return None
