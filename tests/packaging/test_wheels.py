"""The wheels: installed without an index, they copy; and the source that they are made of."""

import re
import subprocess
import sys
import tarfile
import zipfile

import freeze
import pytest
import wheels

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    (folder / "scratch").mkdir()
    (folder / "out").mkdir()
    epoch = int(freeze.source_date_epoch())
    source = wheels.build_source(folder / "out", folder / "scratch", epoch)
    wheels.build_wheels(source, folder / "out" / "wheels", folder / "scratch", epoch)
    return folder / "out"


def test_wheels_install_without_an_index_and_copy(made, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = ["install", "-q", "--isolated", "--no-index", "--find-links", str(made / "wheels"), "escp"]
    subprocess.run([tmp_path / "venv" / "bin" / "pip", *install], check=True, cwd=tmp_path)
    (tmp_path / "a").write_bytes(b"contents")
    (tmp_path / "target").mkdir()
    copy = [tmp_path / "venv" / "bin" / "escp", "--embedded", tmp_path / "a", f"localhost:{tmp_path}/target/"]
    subprocess.run(copy, check=True, cwd=tmp_path, timeout=60)
    assert (tmp_path / "target" / "a").read_bytes() == b"contents"


def test_wheel_carries_its_libraries_and_their_licences(made):
    (path,) = (made / "wheels").glob("escp-*.whl")
    assert "manylinux" in path.name
    names = zipfile.ZipFile(path).namelist()
    for library in ("libcrypto", "libzstd", *(["libIPSec_MB"] if "x86_64" in path.name else [])):
        assert [name for name in names if name.startswith(f"escp.libs/{library}-")], library
        assert [name for name in names if f".dist-info/licenses/{library}/" in name], library


def test_source_has_what_git_has_of_the_program(made):
    (path,) = made.glob("escp-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.split("/", 1)[-1] for member in archive if member.isfile()}
    git = subprocess.run(["git", "ls-files", "escp", "docs", "packaging", "tests"], cwd=freeze.ROOT,
                         capture_output=True, text=True, check=False)  # fmt: skip
    if git.returncode:
        pytest.skip("not a git checkout")
    assert set(git.stdout.splitlines()) - names == set()
    assert not [name for name in names if re.search(r"\.so$|\.pyc$|_build_info", name)]
