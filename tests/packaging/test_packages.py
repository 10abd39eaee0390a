"""The packages: the same bytes each time, complete, installed, used and removed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import components
import freeze
import owners
import pytest
from components import UnknownPart, find_components, translate_licence

from tests.packaging.overlay import Overlay
from tests.support.command import HOST, ROOT, needs_root

# What may be distributed inside a BSD-3-Clause program, each looked at by a person.
COMPATIBLE = {
    "Apache-2.0", "Apache-2.0 OR BSD-3-Clause", "BSD-2-Clause", "BSD-3-Clause",
    "BSD-3-Clause OR GPL-2.0-only", "MIT", "MIT-0", "PSF-2.0", "Python-2.0.1", "Zlib",
    "GPL-2.0-or-later WITH Bootloader-exception",
}  # fmt: skip
PACKAGING_S = 540  # twice at once, on a busy machine
DOCUMENTS = "share/doc/escp"
INSTALLED = {
    "bin/escp", "lib/escp/escp", "lib/escp/MANIFEST", f"{DOCUMENTS}/escp.conf.example",
    f"{DOCUMENTS}/sbom.cdx.json", f"{DOCUMENTS}/licenses/LIST", f"{DOCUMENTS}/install.md",
    "share/bash-completion/completions/escp", "share/fish/vendor_completions.d/escp.fish",
    "lib/systemd/system/escp.service", "lib/systemd/system/escp.socket",
}  # fmt: skip
pytestmark = pytest.mark.timeout(300)


def start_packaging(folder: Path, out: Path, umask: int, zone: str) -> subprocess.Popen:
    command = [
        sys.executable,
        str(ROOT / "packaging" / "package.py"),
        str(folder),
        "--out",
        str(out),
        "--no-wheels",
    ]
    env = dict(os.environ, TZ=zone)
    return subprocess.Popen(
        command, env=env, umask=umask, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture(scope="module")
def both(frozen_folder, tmp_path_factory):
    """Made twice: by two users whose umask and clock are not the same."""
    outs = [tmp_path_factory.mktemp("packages") / name for name in "ab"]
    settings = [(0o022, "UTC"), (0o077, "Asia/Tokyo")]
    running = [start_packaging(frozen_folder, out, *how) for out, how in zip(outs, settings, strict=True)]
    for process in running:
        text, _ = process.communicate(timeout=PACKAGING_S)
        assert process.returncode == 0, text.decode()
    return outs


@pytest.fixture(scope="module")
def packages(both):
    return both[0]


@pytest.fixture(scope="module")
def unpacked(packages, tmp_path_factory):
    """The tarball, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    (path,) = packages.glob("escp-*-linux-*.tar.gz")
    subprocess.run(["tar", "-xzf", path], cwd=folder, check=True)
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def sbom(unpacked):
    return json.loads((unpacked / DOCUMENTS / "sbom.cdx.json").read_text())


def run(*words, **settings):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=100, **settings
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def list_deb(packages):
    (path,) = packages.glob("*.deb")
    words = [line.split() for line in run("dpkg-deb", "-c", path).splitlines()]
    return {line[5].removeprefix("./usr/"): line for line in words}


# --- Files --------------------------------------------------------------------------------------


def test_same_tree_gives_the_same_bytes(both):
    first, second = ((folder / "SHA256SUMS").read_text() for folder in both)
    assert first == second
    assert len(first.splitlines()) == 4


def test_sums_are_true(packages):
    assert run("sha256sum", "-c", "SHA256SUMS", cwd=packages).count(": OK") == 4


def test_tarball_runs_where_it_is_unpacked_and_has_its_pages(unpacked, source, target):
    (source / "a").write_bytes(b"contents")
    run(unpacked / "bin" / "escp", "--embedded", source / "a", f"localhost:{target}/")
    assert (target / "a").read_bytes() == b"contents"
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}
    pages = {"share/man/man1/escp.1", "share/man/man5/escp.conf.5", "share/zsh/site-functions/_escp"}
    assert INSTALLED | pages <= names
    run("sha256sum", "-c", "--quiet", "lib/escp/MANIFEST", cwd=unpacked)


def test_tarball_belongs_to_root_and_all_may_read_it(packages):
    (path,) = packages.glob("escp-*-linux-*.tar.gz")
    with tarfile.open(path) as archive:
        for member in archive:
            assert (member.uid, member.gid, member.mode & 0o7022) == (0, 0, 0) or member.issym(), member.name
            assert member.mode & 0o444 == 0o444, member.name


def test_deb_has_everything_in_debians_places(packages):
    listed = list_deb(packages)
    pages = {
        "share/man/man1/escp.1.gz",
        "share/man/man5/escp.conf.5.gz",
        "share/zsh/vendor-completions/_escp",
    }
    assert INSTALLED | pages | {f"{DOCUMENTS}/copyright", f"{DOCUMENTS}/changelog.gz"} <= listed.keys()
    assert listed["bin/escp"][6:] == ["->", "../lib/escp/escp"]
    assert {line[1] for line in listed.values()} == {"root/root"}
    assert not [name for name in listed if name.startswith("./") and not "./usr/".startswith(name)]


def test_packages_ask_for_the_newest_glibc_that_any_object_needs(packages, frozen_tree):
    """Counted without objdump: the versions' names stand in the objects as text."""
    versions = {
        tuple(map(int, text.split(b".")))
        for path in frozen_tree.rglob("*")
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"
        for text in re.findall(rb"\0GLIBC_(2\.[0-9.]+)(?=\0)", path.read_bytes())
    }
    glibc = ".".join(map(str, max(versions)))
    (deb,), (rpm,) = packages.glob("*.deb"), packages.glob("*.rpm")
    assert f"libc6 (>= {glibc})" in run("dpkg-deb", "-f", deb, "Depends").strip().split(", ")
    assert f"glibc >= {glibc}" in run("rpm", "-qp", "--requires", rpm).splitlines()


def test_rpm_says_what_it_is_and_runs_unpacked(packages, folder, source, target):
    (rpm,) = packages.glob("*.rpm")
    provided = run("rpm", "-qp", "--provides", rpm).splitlines()
    assert provided and all(line.startswith("escp") for line in provided)  # not the libraries inside it
    needed = [
        line for line in run("rpm", "-qp", "--requires", rpm).splitlines() if not line.startswith("rpmlib")
    ]
    assert all(line.startswith(("glibc >= ", "libz.so.1")) for line in needed)
    run("sh", "-c", f"rpm2cpio {shlex.quote(str(rpm))} | cpio -idm --quiet", cwd=folder)
    names = {
        str(path.relative_to(folder / "usr")) for path in (folder / "usr").rglob("*") if not path.is_dir()
    }
    pages = {"share/man/man1/escp.1.gz", "share/man/man5/escp.conf.5.gz", "share/zsh/site-functions/_escp"}
    assert INSTALLED | pages <= names
    (source / "a").write_bytes(b"contents")
    run(folder / "usr" / "bin" / "escp", "--embedded", source / "a", f"localhost:{target}/")
    assert (target / "a").read_bytes() == b"contents"


@needs_root
def test_deb_is_installed_used_and_removed(packages, folder, source, target, sshd):
    (deb,) = packages.glob("*.deb")
    shutil.copy(deb, folder)
    layer = Overlay(folder / "layer", shared=folder)
    try:
        layer.run("dpkg", "-i", folder / deb.name)
        assert layer.run("escp", "--version").startswith("escp ")
        assert layer.run("dpkg", "-V", "escp") == ""
        links = "ls /etc/systemd/system/*/escp.* 2>/dev/null || true"
        assert layer.run("sh", "-c", links) == ""  # the administrator enables its units
        if shutil.which("man"):
            assert layer.run("man", "-w", "escp") == "/usr/share/man/man1/escp.1.gz\n"
            assert layer.run("man", "-w", "5", "escp.conf") == "/usr/share/man/man5/escp.conf.5.gz\n"
        file = os.urandom(3_000_001)
        (source / "a").write_bytes(file)
        agent = shlex.join(layer.command("escp"))  # the sshd is outside
        shutil.copy(sshd.client_config, folder / "ssh_config")
        layer.run("escp", "-F", folder / "ssh_config", "-D", agent, source / "a", f"{HOST}:{target}/")
        assert (target / "a").read_bytes() == file
        assert layer.list_changed()
        layer.run("dpkg", "--purge", "escp")
        assert layer.list_changed() == []
    finally:
        layer.close()


# --- Licences and SBOM --------------------------------------------------------------------------


def test_every_licence_may_go_into_the_package(sbom):
    licences = {part["name"]: part["licenses"][0]["expression"] for part in sbom["components"]}
    assert {name: spdx for name, spdx in licences.items() if spdx not in COMPATIBLE} == {}


def test_sbom_has_every_file_once_with_its_hash(sbom, unpacked):
    parts = [sbom["metadata"]["component"], *sbom["components"]]
    listed = [
        (file["hashes"][0]["content"], file["name"]) for part in parts for file in part.get("components", [])
    ]
    manifest = (unpacked / "lib" / "escp" / "MANIFEST").read_text().splitlines()
    assert sorted(listed) == sorted(tuple(line.split("  ", 1)) for line in manifest)


def test_sbom_says_of_each_part_what_it_is(sbom):
    for part in [sbom["metadata"]["component"], *sbom["components"]]:
        assert re.fullmatch(r"\d+(\.[\w+]+)+", part["version"]), part
        assert part["purl"].startswith("pkg:") and part["bom-ref"] == part["purl"]
        assert re.fullmatch("[0-9a-f]{64}", part["hashes"][0]["content"])
    references = {part["purl"] for part in sbom["components"]}
    depended = {name for entry in sbom["dependencies"] for name in entry["dependsOn"]}
    assert depended == references  # everything is in it for something's sake


def test_every_part_brings_its_licence(sbom, unpacked):
    folder = unpacked / DOCUMENTS / "licenses"
    names = {part["name"] for part in [sbom["metadata"]["component"], *sbom["components"]]}
    assert names == {path.name for path in folder.iterdir() if path.is_dir()}
    for name in names:  # cryptography's LICENSE only says which of its two others to read
        sizes = [path.stat().st_size for path in (folder / name).iterdir()]
        assert min(sizes) > 100 and max(sizes) > 500, name
    assert "Bootloader Exception" in (folder / "PyInstaller" / "COPYING.txt").read_text()
    assert "Modules/_decimal/libmpdec" in (folder / "libmpdec" / "copyright").read_text()
    assert "TERMS AND CONDITIONS" in (folder / "libcrypto" / "Apache-2.0").read_text()


def test_what_escp_was_linked_with_is_listed(sbom, unpacked):
    said = run(unpacked / "bin" / "escp", "--version", "-v")
    linked = re.search(r"^libraries: (.+)$", said, re.MULTILINE).group(1).split(", ")
    assert set(linked) <= {f"{part['name']} {part['version']}" for part in sbom["components"]}


@pytest.fixture
def copied_tree(frozen_folder, folder):
    shutil.copytree(frozen_folder / "escp", folder / "escp", symlinks=True)
    shutil.copy(frozen_folder / "frozen-by.json", folder)
    return folder / "escp"


@pytest.mark.parametrize("name", ["libgmp.so.10", "numpy/_core.so", "data.txt"])
def test_unknown_file_stops_the_build(copied_tree, name):
    manifest = copied_tree / "lib" / "escp" / "MANIFEST"
    manifest.write_text(manifest.read_text() + f"{'0' * 64}  lib/escp/_internal/{name}\n")
    with pytest.raises(UnknownPart, match=re.escape(name)):
        find_components(copied_tree)


def change_facts(tree: Path, **changed) -> None:
    about = tree.parent / "frozen-by.json"
    facts = json.loads(about.read_text())
    about.write_text(json.dumps({**facts, **{name: change(facts[name]) for name, change in changed.items()}}))


def test_library_of_a_debian_package_brings_its_licence(copied_tree):
    """As Debian's own Python brings libexpat.so.1: no table names it."""
    manifest = copied_tree / "lib" / "escp" / "MANIFEST"
    manifest.write_text(manifest.read_text() + f"{'0' * 64}  lib/escp/_internal/libyaml-0.so.2\n")
    change_facts(copied_tree, origins=lambda found: {**found, "libyaml-0.so.2": {"debian": "libyaml-0-2"}})
    (found,) = (one for one in find_components(copied_tree) if one.name == "libyaml-0-2")
    assert found.licence == "MIT" and found.texts == [Path("/usr/share/doc/libyaml-0-2/copyright")]
    assert list(found.files) == ["lib/escp/_internal/libyaml-0.so.2"]


def test_file_is_found_in_the_package_that_owns_it():
    library = next(Path("/usr/lib").glob("*/libyaml-0.so.2"))
    assert owners.find_debian_package(library) == "libyaml-0-2"
    assert (
        owners.find_debian_package(Path("/", *library.parts[2:])) == "libyaml-0-2"
    )  # /lib, of a merged /usr
    assert owners.find_debian_package(Path(__file__)) == ""
    assert owners.find_distribution(Path(pytest.__file__)) == "pytest"
    assert owners.find_distribution(Path(__file__)) == ""


def test_newer_version_in_the_archive_is_told(tmp_path, monkeypatch, capsys):
    apt = tmp_path / "apt-cache"
    apt.write_text("#!/bin/sh\nprintf '%s:\\n  Installed: 3.0.19-1\\n  Candidate: 3.0.22-1\\n' \"$2\"\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    freeze.warn_of_newer({"libcrypto.so.3": {"debian": "libssl3"}, "yaml/_yaml.so": {"pypi": "PyYAML"}})
    assert capsys.readouterr().out == (
        "build: warning: libssl3 3.0.19-1 is bundled, and the archive has 3.0.22-1: "
        "`apt-get install libssl3` and freeze again\n"
    )


def test_unknown_module_stops_the_build(copied_tree):
    change_facts(copied_tree, modules=lambda found: {**found, "rich": None})
    with pytest.raises(UnknownPart, match="module rich "):
        find_components(copied_tree)


def test_unknown_linked_library_stops_the_build(copied_tree, monkeypatch):
    monkeypatch.setattr(
        components, "C_LIBRARIES", [one for one in components.C_LIBRARIES if one.name != "xxHash"]
    )
    with pytest.raises(UnknownPart, match="xxHash"):
        find_components(copied_tree)


def test_tree_of_other_sources_stops_the_build(frozen_folder, tmp_path):
    stale = tmp_path / "dist"
    shutil.copytree(frozen_folder, stale, symlinks=True, ignore=shutil.ignore_patterns("packages", "release"))
    about = stale / "frozen-by.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "sources": "0" * 64}))
    running = start_packaging(stale, tmp_path / "packages", 0o022, "UTC")
    said = running.communicate(timeout=100)[0].decode()
    assert running.returncode == 1 and not (tmp_path / "packages").exists()
    assert (
        said
        == f"build: error: {stale}/escp was made of other sources than these: run `build.py freeze` again\n"
    )


def test_tree_of_an_unknown_python_stops_the_build(copied_tree):
    (copied_tree.parent / "frozen-by.json").unlink()
    with pytest.raises(UnknownPart, match="is missing: freeze"):
        find_components(copied_tree)


def test_unknown_licence_stops_the_build():
    with pytest.raises(UnknownPart, match="'AGPL-3'"):
        translate_licence("something", "AGPL-3")
