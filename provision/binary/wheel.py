"""Read a wheel before it is installed: its metadata, its RECORD and its compiled files."""

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
_MOST_PACKED = 100  # machine code packs to a tenth; only zeros pack to a hundredth
_ALWAYS_FINE = _GIB // 32  # however small it was packed
# zipfile reads no more than the directory promises. One module at a time is held in memory.
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
    RuntimeError,  # zipfile raises it for an unknown compression, among others
    zipfile.BadZipFile,
    zlib.error,
)


class WheelContents(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a wheel.

    Name and version come from METADATA, tags from WHEEL, code from the compiled files. `sm` and
    `ptx` are capabilities; `undefined` holds the symbols that other libraries must provide; `glibc`
    and `cxx11_abi` are None if nothing tells. `lies` are sentences: where the file claims one thing
    and holds another.
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
    contradictions: tuple[str, ...]

    @property
    def corrected_name(self) -> str:
        """Return the file name with METADATA's version: some files are misnamed."""
        name, _, rest = self.file.split("-", 2)
        return f"{name}-{self.version}-{rest}"


class _Module(msgspec.Struct, frozen=True):
    """The part of a compiled file that is kept; the file may have a gigabyte."""

    name: str
    machine: str
    kernels: list[fatbin.FatBinary]
    glibc: str | None
    needed: tuple[str, ...]
    defined: frozenset[str]
    undefined: frozenset[str]

    @classmethod
    def of(cls, data: mmap.mmap, name: str) -> _Module:
        read = SharedObject(data, name)
        return cls(
            name=name,
            machine=read.machine,
            kernels=fatbin.fat_binaries(read.fatbin),
            glibc=read.highest("GLIBC"),
            needed=read.needed,
            defined=read.defined,
            undefined=read.unversioned,
        )


def read(path: Path) -> WheelContents:
    """Read every byte once and write none.

    Raise ValueError, a sentence, if this is not a complete wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _truth(archive, path.name)
    except _DAMAGE as error:
        why = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise ValueError(f"{path.name} is not a usable wheel: {why}") from error


def _truth(archive: zipfile.ZipFile, file: str) -> WheelContents:
    size = sum(member.file_size for member in archive.infolist())
    if size > _LARGEST_WHEEL:
        raise ValueError(f"it would unpack to {size / _GIB:.0f} GiB")
    packed = sum(member.compress_size for member in archive.infolist())
    if size > _MOST_PACKED * packed + _ALWAYS_FINE:
        raise ValueError(f"it would unpack to {size / max(packed, 1):.0f} times its size")
    metadata, tagged = _header(archive, "METADATA"), _header(archive, "WHEEL")
    modules, lies = _contents(archive)
    kernels = fatbin.common_code([container for module in modules for container in module.kernels])
    defined = frozenset[str]().union(*(module.defined for module in modules))
    undefined = frozenset[str]().union(*(module.undefined for module in modules)) - defined
    distribution, version = canonicalize_name(_field(metadata, "Name")), _field(metadata, "Version")
    tags = frozenset(str(tag) for line in tagged.get_all("Tag", []) for tag in parse_tag(line))
    return WheelContents(
        file=file,
        distribution=distribution,
        version=version,
        tags=tuple(sorted(tags)),
        modules=tuple(module.name for module in modules),
        machines=tuple(sorted({module.machine for module in modules})),
        sm=fatbin.capabilities(kernels.sm),
        ptx=fatbin.capabilities(kernels.ptx),
        glibc=max((module.glibc for module in modules if module.glibc), key=Version, default=None),
        cxx11_abi=_cxx11_abi(undefined),
        needed=tuple(sorted({library for module in modules for library in module.needed})),
        undefined=undefined,
        contradictions=(*_misnamed(file, distribution, version, tags), *lies),
    )


def _header(archive: zipfile.ZipFile, name: str) -> Message:
    return HeaderParser().parsestr(
        _whole(archive, _dist_info(archive, name), _LARGEST_TEXT).decode()
    )


def _dist_info(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [
        info
        for info in archive.infolist()
        if re.fullmatch(rf"[^/]+\.dist-info/{name}", info.filename)
    ]
    if len(members) != 1:
        raise ValueError(f"it holds {len(members) or 'no'} .dist-info/{name}")
    return members[0]


def _field(header: Message, field: str) -> str:
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
    """Return the compiled files, and where RECORD and contents differ."""
    of_record = _dist_info(archive, "RECORD")
    recorded = {
        entry.path: entry
        for entry in record.parse_entries(
            _whole(archive, of_record, _LARGEST_TEXT).decode().splitlines()
        )
    }
    unsigned = {of_record.filename + ending for ending in ("", ".jws", ".p7s")}
    modules, lies, names = [], [], set[str]()
    for info in archive.infolist():
        name = info.filename
        if info.is_dir():
            continue
        if name in names:
            lies.append(f"it holds {name} twice")
        names.add(name)
        if name.startswith("/") or ".." in name.split("/"):
            lies.append(f"it would write outside the environment: {name}")
        module = (
            mmap.mmap(-1, max(_within(info, _LARGEST_MODULE), 1)) if _MODULE.search(name) else None
        )
        difference = _unlike(recorded.get(name), archive, info, module)
        if difference and name not in unsigned:
            lies.append(difference)
        if module is not None:
            modules.append(_Module.of(module, name))
    lies += [f"its RECORD lists {name}, which is missing" for name in recorded if name not in names]
    return modules, lies


def _unlike(
    entry: record.RecordEntry | None,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    copy: mmap.mmap | None,
) -> str:
    """Read a member once, into `copy` if given; return how it differs from RECORD."""
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
    same = record.encode_digest(digest.digest()) == expected and entry.size in (
        "",
        str(info.file_size),
    )
    return "" if same else f"{info.filename} differs from its RECORD"


def _cxx11_abi(symbols: frozenset[str]) -> bool | None:
    """Return the std::string ABI of the calls to torch; the old one mangles to Ss."""
    of_torch = [symbol for symbol in symbols if re.match(r"_ZNK?(3c10|2at|5torch)", symbol)]
    if any("__cxx11" in symbol for symbol in of_torch):
        return True
    return False if any(symbol.endswith("Ss") for symbol in of_torch) else None


def _misnamed(file: str, distribution: str, version: str, tags: frozenset[str]) -> list[str]:
    """Return how the file's name differs from its contents.

    A name may add a local part to the version, as some authors do; nothing else may differ.
    """
    name, named, _, named_tags = parse_wheel_filename(file)
    lies = []
    if name != distribution:
        lies.append(f"its file is named {name} but contains {distribution}")
    if Version(version) not in (named, Version(named.public)):
        lies.append(f"its file is named {named} but its version is {version}")
    tagged = {str(tag) for tag in named_tags}
    if _plain(tagged) != _plain(tags):
        lies.append(f"its file is tagged {_listed(tagged)} but was built as {_listed(tags)}")
    return lies


def _plain(tags: Iterable[str]) -> set[str]:
    """Return tags with manylinux as linux: many files are renamed."""
    return {re.sub(r"-manylinux(_\d+_\d+|1|2010|2014)_", "-linux_", tag) for tag in tags}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "nothing"
