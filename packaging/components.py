"""What a frozen tree is made of, and whose it is: the ground of the licences and of the SBOM.

    MANIFEST, modules in the executable, `escp --version -v`, frozen-by.json ──► list of Component

Every file and every top-level module must belong to a component: one of the tables below, or the package
that it came from (frozen-by.json has what dpkg -S and the wheels' RECORDs said). A component's licence is
read where the thing came from (dist-info, Debian's copyright file). What fits nowhere stops the build.
"""

import fnmatch
import hashlib
import importlib.metadata
import json
import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import freeze
from PyInstaller.archive.readers import CArchiveReader

DOC = Path("/usr/share/doc")
COMMON_LICENCES = Path("/usr/share/common-licenses")

# Licences as their sources declare them, in SPDX's names. These may go into a BSD-3-Clause program; one that
# is not here stops the build, so that somebody looks at it. Capitals don't count: Debian's files differ.
SPDX = {
    "Apache-2.0": "Apache-2.0",
    "Apache-2.0 OR BSD-3-Clause": "Apache-2.0 OR BSD-3-Clause",
    "BSD-2-clause": "BSD-2-Clause",
    "BSD-3-clause": "BSD-3-Clause",
    "BSD-3-clause or GPL-2": "BSD-3-Clause OR GPL-2.0-only",
    "Expat": "MIT",
    "ISC": "ISC",
    "MIT": "MIT",
    "MIT-0": "MIT-0",
    "PSF-2.0": "PSF-2.0",
    "Zlib": "Zlib",
    "GPLv2-or-later with a special exception which allows to use PyInstaller to build and distribute "
    "non-free programs (including commercial ones)": "GPL-2.0-or-later WITH Bootloader-exception",
}
PYTHON_SPDX = "Python-2.0.1"
OWN_SPDX = "BSD-3-Clause"


@dataclass(frozen=True)
class CLibrary:
    """A C library from Debian: bundled as *bundled*, or put into escp's modules from *inputs*."""

    name: str  # as `escp --version -v` calls it, where it does
    debian: str  # package that holds `copyright` and what was linked
    bundled: str = ""  # pattern
    inputs: tuple[str, ...] = ()


C_LIBRARIES = (
    CLibrary("libcrypto", "libssl-dev", "libcrypto.so.*", ("libcrypto.a",)),
    CLibrary("libIPSec_MB", "libipsec-mb-dev", "libIPSec_MB.so.*", ("libIPSec_MB.a",)),
    CLibrary("libzstd", "libzstd-dev", "libzstd.so.*", ("libzstd.a",)),
    CLibrary("xxHash", "libxxhash-dev", inputs=("xxhash.h", "xxh3.h")),
)
ZLIB = CLibrary("zlib", "zlib1g", "libz.so.*")
LIBYAML = CLibrary("libyaml", "libyaml-0-2")
LIBFFI = CLibrary("libffi", "libffi-dev", inputs=("libffi_pic.a",))
PYTHON_PARTS = {"_decimal": ("libmpdec", "BSD-2-Clause"), "pyexpat": ("expat", "MIT")}  # copies in its source
# Below lib/escp/. The first that fits counts; other libraries are their packages'.
FILES = {
    "escp": "PyInstaller",
    "_internal/base_library.zip": "CPython",
    "_internal/libpython3*.so*": "CPython",
    "_internal/python3*/lib-dynload/*": "CPython",
    "_internal/lib-dynload/*": "CPython",
    "_internal/escp/_fast/*.so": "escp",
    "_internal/escp/modules": "escp",
    **{f"_internal/{library.bundled}": library.name for library in (*C_LIBRARIES, ZLIB) if library.bundled},
}
# Top-level modules (.pyc files, or in the executable) that no wheel has; others are the standard library's.
MODULES = {
    "escp": "escp", "__main__": "escp", "bundle_start": "escp",
    "pyimod*": "PyInstaller", "pyiboot*": "PyInstaller", "pyi_rth_*": "PyInstaller", "_pyi_*": "PyInstaller",
}  # fmt: skip


class UnknownPart(Exception):
    """Something that no component owns, or whose licence can't be read; the message names it."""


@dataclass
class Component:
    name: str
    version: str
    licence: str  # SPDX expression
    purl: str  # package URL
    texts: list[Path]
    inside: str = ""  # of which component it is a part, where it has no file of its own
    files: dict[str, str] = field(default_factory=dict)  # path in the tree -> SHA-256
    digest: str = ""  # SHA-256 of `digest_of`
    digest_of: str = ""


def find_components(tree: Path) -> list[Component]:
    """All that *tree* is made of, escp itself first."""
    try:
        facts = json.loads((tree.parent / freeze.FROZEN_BY).read_text())
    except FileNotFoundError as error:
        raise UnknownPart(f"{error.filename} is missing: freeze the tree again") from None
    if facts.keys() < freeze.describe_python().keys():
        raise UnknownPart(f"{freeze.FROZEN_BY} is of an older build.py: freeze the tree again")
    owned = _assign_files((tree / freeze.MANIFEST).read_text(), facts)
    modules = {_find_owner(name, facts) for name in sorted(list_modules(tree))}
    names = owned.keys() | modules
    distributions = {"PyInstaller", *facts["modules"].values(), *_list_origins(facts, "pypi")}
    found = [
        Component(
            "escp", freeze.VERSION, OWN_SPDX, f"pkg:generic/escp@{freeze.VERSION}", [freeze.ROOT / "LICENSE"]
        ),
        *_describe_python(facts, _list_extensions(facts, owned), owned),
        *(_describe_distribution(name, facts) for name in sorted(names & distributions)),
        *_describe_c_libraries(tree, owned),
        *(
            describe_debian(CLibrary(name, name), "")
            for name in sorted(names & _list_origins(facts, "debian"))
        ),
        describe_debian(ZLIB, "" if ZLIB.name in owned else "CPython"),
    ]
    if "PyYAML" in names:
        version = facts["libyaml"]  # of the wheel; Debian's is the one whose licence can be read
        found.append(
            replace(describe_debian(LIBYAML, "PyYAML", version), purl=f"pkg:generic/libyaml@{version}")
        )
    if facts["zig"]:
        found.append(_describe_zig(Path(facts["zig"])))
    if missing := names - {component.name for component in found}:
        raise UnknownPart(f"nothing is known about {', '.join(sorted(missing))}")
    for component in found:
        component.files = owned.get(component.name, {})
        if component.files:
            component.digest_of = "its files"
            component.digest = hash_files(component.files)
    for component in found:
        if not component.digest:
            component.digest_of = f"the files of {component.inside}"
            component.digest = next(whole.digest for whole in found if whole.name == component.inside)
    return found


def hash_files(files: dict[str, str]) -> str:
    """One file's SHA-256; of several, that of their lines as `sha256sum` writes them."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256(
        "".join(f"{digest}  {name}\n" for name, digest in files.items()).encode()
    ).hexdigest()


# --- Whose is it? -------------------------------------------------------------------------------


def _list_origins(facts: dict, kind: str) -> set[str]:
    return {origin[kind] for origin in facts["origins"].values() if kind in origin}


def _assign_files(manifest: str, facts: dict) -> dict[str, dict[str, str]]:
    owned: dict[str, dict[str, str]] = {}
    for line in manifest.splitlines():
        digest, name = line.split("  ", 1)
        inner = name.removeprefix("lib/escp/")
        owner = next((own for pattern, own in FILES.items() if fnmatch.fnmatchcase(inner, pattern)), None)
        if owner is None and re.fullmatch(r"_internal/.+\.pyc", inner):
            owner = _find_owner(re.split("[/.]", inner)[1], facts)
        if owner is None:
            owner = next(iter(facts["origins"].get(inner.removeprefix("_internal/"), {}).values()), None)
        if owner is None:
            raise UnknownPart(f"{name} belongs to no component of packaging/components.py")
        owned.setdefault(owner, {})[name] = digest
    return owned


def list_modules(tree: Path) -> set[str]:
    """Names of the top-level modules in the executable."""
    archive = CArchiveReader(str(tree / "lib" / "escp" / "escp"))
    names = {name for name, entry in archive.toc.items() if entry[-1] in "msM"}
    for name, entry in archive.toc.items():
        if entry[-1] == "z":
            names.update(archive.open_embedded_archive(name).toc)
    return {name.split(".")[0] for name in names}


def _find_owner(module: str, facts: dict) -> str:
    owner = next((own for pattern, own in MODULES.items() if fnmatch.fnmatchcase(module, pattern)), None)
    owner = owner or facts["modules"].get(module)
    if owner is None and module not in facts["standard_modules"]:
        raise UnknownPart(f"the module {module} belongs to no component of packaging/components.py")
    return owner or "CPython"


# --- What is it, and under which licence? -------------------------------------------------------


def _list_extensions(facts: dict, owned: dict) -> set[str]:
    """CPython's modules of native code: linked into it, or files of their own."""
    files = (Path(name).name.split(".")[0] for name in owned["CPython"] if "/lib-dynload/" in name)
    return {*facts["builtin_modules"], *files}


def _describe_python(facts: dict, extensions: set[str], owned: dict) -> list[Component]:
    version = facts["python"]
    minor = version.rsplit(".", 1)[0]
    # CPython's own file leaves out other people's parts of it (libmpdec, for one); Debian's has all.
    given = [Path(facts["python_copyright"])] if facts["python_copyright"] else []
    folders = [path for pattern in (f"python{minor}", f"libpython{minor}-minimal", "libpython3*-minimal")
               for path in sorted(DOC.glob(pattern))]  # fmt: skip
    copyrights = given + [path / "copyright" for path in folders]
    if not copyrights:
        raise UnknownPart(f"no licences of what CPython contains: install Debian's libpython{minor}-minimal")
    texts = [Path(facts["standard_library"], "LICENSE.txt"), copyrights[0]]
    found = [Component("CPython", version, PYTHON_SPDX, f"pkg:generic/cpython@{version}", texts)]
    for module, (name, licence) in PYTHON_PARTS.items():
        # Debian's Python takes them from libraries of their own (libexpat1), which are then components.
        if module in extensions and not any(
            owner.startswith(f"lib{name.removeprefix('lib')}") for owner in owned
        ):
            purl = f"pkg:generic/{name}@{facts[name]}"
            found.append(Component(name, facts[name], licence, purl, texts[1:], inside="CPython"))
    if "_ctypes" in extensions:
        found.append(describe_debian(LIBFFI, "CPython"))
    return found


def _describe_distribution(name: str, facts: dict) -> Component:
    folder = facts["packages"].get(name.lower().replace("_", "-")) or facts["packages"].get(name.lower())
    if folder is None:
        raise UnknownPart(f"{name} is bundled, but {freeze.FROZEN_BY} does not say where it came from")
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    found = next(
        found for found in importlib.metadata.distributions(path=[folder])
        if re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() == wanted
    )  # fmt: skip
    declared = found.metadata.get("License-Expression") or found.metadata.get("License") or ""
    texts = [Path(str(path.locate())) for path in found.files or [] if ".dist-info/licenses/" in str(path)]
    record = found.read_text("RECORD") or ""
    return Component(
        name, found.version, translate_licence(name, declared), f"pkg:pypi/{wanted}@{found.version}",
        sorted(texts),
        digest=hashlib.sha256(record.encode()).hexdigest(), digest_of=f"{found.metadata['Name']}'s RECORD",
    )  # fmt: skip


def _describe_zig(program: Path) -> Component:
    """The run-time library of the compiler, of which a little is in every object."""
    version = subprocess.check_output([str(program), "version"], text=True).strip()
    licence = [program.with_name("LICENSE")]
    return Component("zig", version, "MIT", f"pkg:pypi/ziglang@{version}", licence, inside="escp")


def _describe_c_libraries(tree: Path, owned: dict) -> list[Component]:
    """What is bundled, and what the native modules say that they were linked or compiled with."""
    program = [str(tree / "bin" / "escp"), "--version", "-v"]
    said = subprocess.run(
        program, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
    line = next(line for line in said.splitlines() if line.startswith("libraries: "))
    versions = dict(word.rsplit(" ", 1) for word in line.removeprefix("libraries: ").split(", "))
    known = {library.name: library for library in C_LIBRARIES}
    if unknown := versions.keys() - known.keys():
        raise UnknownPart(
            f"escp is linked with {', '.join(unknown)}, which packaging/components.py does not know"
        )
    return [
        describe_debian(library, "" if name in owned else "escp", versions.get(name, ""))
        for name, library in known.items()
        if name in versions or name in owned
    ]


def describe_debian(library: CLibrary, inside: str, version: str = "") -> Component:
    path = DOC / library.debian / "copyright"
    try:
        text = path.read_text()
    except OSError as error:
        raise UnknownPart(f"no licence of {library.name}: {path}: {error.strerror}") from None
    # The first paragraph about files is about all that no later one names.
    declared = text.partition("Files: *")[2].partition("\nLicense: ")[2].partition("\n")[0].strip()
    common = COMMON_LICENCES / declared  # where Debian's file only points at the text
    query = ["dpkg-query", "-W", "-f", "${source:Package} ${source:Version} ${source:Upstream-Version}"]
    source, full, upstream = subprocess.check_output([*query, library.debian], text=True).split()
    component = Component(
        library.name, version or upstream, translate_licence(library.name, declared),
        f"pkg:deb/debian/{source}@{full.replace(':', '%3A').replace('+', '%2B')}?arch=source",
        [path, *([common] if declared and common.is_file() else [])], inside=inside,
    )  # fmt: skip
    inputs = _find_inputs(library) if inside else []
    if inputs:
        component.digest_of = ", ".join(str(path) for path in inputs)
        component.digest = hash_files({str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in inputs})
    return component


def _find_inputs(library: CLibrary) -> list[Path]:
    listed = subprocess.check_output(["dpkg-query", "-L", library.debian], text=True).split("\n")
    paths = {Path(line).name: Path(line) for line in listed}
    return [paths[name] for name in library.inputs if name in paths]


def translate_licence(name: str, declared: str) -> str:
    try:
        return next(known for name, known in SPDX.items() if name.lower() == declared.lower())
    except StopIteration:
        raise UnknownPart(
            f"the licence of {name} is {declared!r}: may it go into a BSD-3-Clause program?"
        ) from None
