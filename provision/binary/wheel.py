"""What a wheel really is, read before it is installed: its metadata, its RECORD, and its compiled files."""

from __future__ import annotations

import hashlib
import mmap
import re
import zipfile
import zlib
from email.parser import HeaderParser
from typing import TYPE_CHECKING

import msgspec
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from provision.binary import fatbin, record
from provision.binary.elf import SharedObject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from pathlib import Path

_GIB = 1 << 30
# What the directory promises is all that zipfile reads. A module is held in memory whole, one at a time.
_LARGEST_WHEEL, _LARGEST_MODULE, _LARGEST_TEXT = 8 * _GIB, 3 * _GIB, _GIB // 32
_CHUNK = 1 << 20
_MODULE = re.compile(r"\.so(\.[\d.]+)?$")
_STRONG = {"sha256", "sha384", "sha512"}
_DAMAGE = (
    OSError,
    ValueError,
    MemoryError,
    EOFError,
    KeyError,
    RuntimeError,  # also what zipfile says of a compression that it does not know
    zipfile.BadZipFile,
    zlib.error,
)


class WheelTruth(msgspec.Struct, frozen=True, kw_only=True):
    """Name and version as METADATA has them, tags as WHEEL has them, code as the compiled files carry it.

    `sm` and `ptx` are capabilities; `undefined` holds what other libraries must bring, whichever they are; `glibc` and
    `cxx11_abi` are None where nothing tells. `lies` are sentences: where the file says one thing and holds another.
    """

    file: str
    distribution: str
    version: str
    tags: tuple[str, ...]
    modules: tuple[str, ...]
    machines: tuple[str, ...]
    sm: tuple[str, ...]
    ptx: tuple[str, ...]
    glibc: str | None
    cxx11_abi: bool | None
    needed: tuple[str, ...]
    undefined: frozenset[str]
    lies: tuple[str, ...]

    @property
    def true_name(self) -> str:
        """The file's name with the version that METADATA has: some are published under the name of another one."""
        name, _, rest = self.file.split("-", 2)
        return f"{name}-{self.version}-{rest}"


class _Module(msgspec.Struct, frozen=True):
    """What is kept of a compiled file, which may have a gigabyte."""

    name: str
    machine: str
    kernels: list[fatbin.Container]
    glibc: str | None
    needed: tuple[str, ...]
    defined: frozenset[str]
    undefined: frozenset[str]

    @classmethod
    def of(cls, data: mmap.mmap, name: str) -> _Module:
        read = SharedObject(data, name)
        kernels = fatbin.containers(read.fatbin)
        glibc = read.highest("GLIBC")
        return cls(name, read.machine, kernels, glibc, read.needed, read.defined, read.unversioned)


def read(path: Path) -> WheelTruth:
    """Every byte is read once and none is written; ValueError, a sentence, where this is no whole wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _truth(archive, path.name)
    except _DAMAGE as error:
        why = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise ValueError(f"{path.name} is no wheel that can be used: {why}") from error


def _truth(archive: zipfile.ZipFile, file: str) -> WheelTruth:
    size = sum(member.file_size for member in archive.infolist())
    if size > _LARGEST_WHEEL:
        raise ValueError(f"it would unpack to {size / _GIB:.0f} GiB")
    metadata, tagged = _header(archive, "METADATA"), _header(archive, "WHEEL")
    modules, lies = _contents(archive)
    kernels = fatbin.general([found for each in modules for found in each.kernels])
    own = frozenset[str]().union(*(each.defined for each in modules))
    undefined = frozenset[str]().union(*(each.undefined for each in modules)) - own
    distribution, version = canonicalize_name(_said(metadata, "Name")), _said(metadata, "Version")
    tags = frozenset(str(tag) for line in tagged.get_all("Tag", []) for tag in parse_tag(line))
    return WheelTruth(
        file=file,
        distribution=distribution,
        version=version,
        tags=tuple(sorted(tags)),
        modules=tuple(each.name for each in modules),
        machines=tuple(sorted({each.machine for each in modules})),
        sm=fatbin.capabilities(kernels.sm),
        ptx=fatbin.capabilities(kernels.ptx),
        glibc=max((each.glibc for each in modules if each.glibc), key=Version, default=None),
        cxx11_abi=_cxx11_abi(undefined),
        needed=tuple(sorted({library for each in modules for library in each.needed})),
        undefined=undefined,
        lies=(*_misnamed(file, distribution, version, tags), *lies),
    )


def _header(archive: zipfile.ZipFile, name: str) -> Message:
    """One of the files of the .dist-info folder that are written like the head of a mail."""
    return HeaderParser().parsestr(_whole(archive, _dist_info(archive, name), _LARGEST_TEXT).decode())


def _dist_info(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if re.fullmatch(rf"[^/]+\.dist-info/{name}", info.filename)]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found) or 'no'} .dist-info/{name}")
    return found[0]


def _said(header: Message, field: str) -> str:
    if not (value := header[field]):
        raise ValueError(f"its METADATA has no {field}")
    return str(value).strip()


def _whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    _within(info, most)
    return archive.read(info)


def _within(info: zipfile.ZipInfo, most: int) -> int:
    if info.file_size > most:
        raise ValueError(f"{info.filename} has {info.file_size / _GIB:.1f} GiB")
    return info.file_size


def _contents(archive: zipfile.ZipFile) -> tuple[list[_Module], list[str]]:
    """The compiled files; and where RECORD and the contents differ."""
    of_record = _dist_info(archive, "RECORD")
    recorded = {
        entry.path: entry for entry in record.parsed(_whole(archive, of_record, _LARGEST_TEXT).decode().splitlines())
    }
    unsigned = {of_record.filename + ending for ending in ("", ".jws", ".p7s")}
    modules, lies, seen = [], [], set[str]()
    for info in archive.infolist():
        name = info.filename
        if info.is_dir():
            continue
        if name in seen:
            lies.append(f"it holds {name} twice")
        seen.add(name)
        if name.startswith("/") or ".." in name.split("/"):
            lies.append(f"it would write outside of the environment: {name}")
        module = mmap.mmap(-1, max(_within(info, _LARGEST_MODULE), 1)) if _MODULE.search(name) else None
        unlike = _unlike(recorded.get(name), archive, info, module)
        if unlike and name not in unsigned:
            lies.append(unlike)
        if module is not None:
            modules.append(_Module.of(module, name))
    lies += [f"its RECORD lists {name}, which is not there" for name in recorded if name not in seen]
    return modules, lies


def _unlike(entry: record.Entry | None, archive: zipfile.ZipFile, info: zipfile.ZipInfo, copy: mmap.mmap | None) -> str:
    """Reads a member through once, into a copy where there is one; how it differs from its line in RECORD."""
    algorithm, _, expected = entry.digest.partition("=") if entry else ("", "", "")
    digest = hashlib.new(algorithm if algorithm in _STRONG else "sha256")
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if copy is not None:
                copy.write(chunk)
    if entry is None:
        return f"its RECORD does not list {info.filename}"
    if algorithm not in _STRONG:
        return f"its RECORD has no SHA-256 of {info.filename}"
    same = record.encoded(digest.digest()) == expected and entry.size in ("", str(info.file_size))
    return "" if same else f"{info.filename} is not as its RECORD says"


def _cxx11_abi(symbols: frozenset[str]) -> bool | None:
    """Which std::string torch's functions are asked for with; the old one mangles to Ss."""
    of_torch = [symbol for symbol in symbols if re.match(r"_ZNK?(3c10|2at|5torch)", symbol)]
    if any("__cxx11" in symbol for symbol in of_torch):
        return True
    return False if any(symbol.endswith("Ss") for symbol in of_torch) else None


def _misnamed(file: str, distribution: str, version: str, tags: frozenset[str]) -> list[str]:
    """A file may add a local part to the version, as the authors of flash-attn name theirs; nothing else may differ."""
    name, named, _, named_tags = parse_wheel_filename(file)
    lies = []
    if name != distribution:
        lies.append(f"its file is named {name}, and it is {distribution}")
    if Version(version) not in (named, Version(named.public)):
        lies.append(f"its file is named {named}, and its version is {version}")
    tagged = {str(tag) for tag in named_tags}
    if _plain(tagged) != _plain(tags):
        lies.append(f"its file is tagged {_listed(tagged)}, and it was built as {_listed(tags)}")
    return lies


def _plain(tags: Iterable[str]) -> set[str]:
    """Many files are renamed from linux to manylinux; which glibc they need is read of their code."""
    return {re.sub(r"-manylinux(_\d+_\d+|1|2010|2014)_", "-linux_", tag) for tag in tags}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "nothing"
