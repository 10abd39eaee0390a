"""docs/install.md: its commands run as they stand, on a stand-in for the package."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support.command import ROOT, needs_root

PAGE = (ROOT / "docs" / "install.md").read_text()
RECIPES = ROOT / "packaging" / "recipes"
SHARED = (
    "share/bash-completion/completions/escp", "share/fish/vendor_completions.d/escp.fish",
    "share/zsh/site-functions/_escp", "share/man/man1/escp.1", "share/doc/escp/escp.conf.example",
    "share/doc/escp/licenses/LIST", "share/doc/escp/sbom.cdx.json",
)  # fmt: skip

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # no escp of a checkout


def find_commands(text: str) -> list[str]:
    """The blocks that are indented, each as a script."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    blocks = re.findall(r"(?:^    .+\n)+", text, flags=re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks]


def find_section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def find_code(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE, flags=re.S)[1]


@pytest.fixture
def package(tmp_path) -> Path:
    """A folder with a tar.gz of the layout that `build.py package` gives it, and its sums."""
    tree = tmp_path / "made" / "escp-0.1.0"
    for name in SHARED:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(".TH ESCP 1\n.SH NAME\nescp \\- stand-in\n" if "man" in name else "# x\n")
    (tree / "bin").mkdir()
    (tree / "bin" / "escp").write_text("#!/bin/sh\necho stand-in $*\n")
    (tree / "bin" / "escp").chmod(0o755)
    (tree / "lib" / "escp").mkdir(parents=True)
    (tree / "lib" / "escp" / "MANIFEST").write_text("")
    name = "escp-0.1.0-linux-x86_64.tar.gz"
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        archive.add(tree, "escp-0.1.0")
    sums = subprocess.run(["sha256sum", name], cwd=tmp_path, capture_output=True, check=True).stdout
    (tmp_path / "SHA256SUMS").write_bytes(sums)
    (tmp_path / "home").mkdir()
    return tmp_path


def run(folder: Path, script: str, *, prefix: tuple[str, ...] = ()) -> str:
    env = {"HOME": str(folder / "home"), "PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}
    done = subprocess.run(
        [*prefix, "bash", "-euc", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def test_every_block_is_a_script():
    for block in find_commands(PAGE):
        subprocess.run(["bash", "-nc", block], check=True)


def test_home_directory(package):
    commands = find_commands(find_section("For yourself, without root"))
    assert len(commands) == 2
    out = run(package, "\n".join([*commands, "command -v escp"]))
    assert "stand-in --selftest" in out and f"{package}/home/.local/bin/escp" in out
    if shutil.which("man"):
        assert "ESCP(1)" in out
    for place in (
        ".local/share/bash-completion/completions/escp", ".config/fish/completions/escp.fish", ".zfunc/_escp"
    ):  # fmt: skip
        assert (package / "home" / place).is_file(), place
    removal = find_commands(find_section("Removing it"))[0].splitlines()[-1]
    run(package, removal)
    left = [path for path in (package / "home").rglob("*") if not path.is_dir()]
    assert left == []


@needs_root
def test_beside_the_systems_packages_and_a_new_version(package):
    """In a mount namespace with an /opt and a /usr/local/bin of its own."""
    first, beside = find_commands(find_section("For everybody on a host"))[:2]
    setup = "mount -t tmpfs x /opt; mount -t tmpfs x /usr/local/bin; mount -t tmpfs x /etc/profile.d"
    upgrade, find, *_ = find_commands(find_section("A new version"))
    listing = find.replace("    # lists nothing then", " || true")
    script = "\n".join([setup, first.splitlines()[0], beside, "escp works", upgrade, "escp again", listing])
    out = run(package, script, prefix=("unshare", "-m", "--propagation", "private"))
    assert "stand-in works" in out and "stand-in again" in out
    lists = "\n".join(find_commands(find_section("Without a network"))[:2][0].splitlines()[1:])
    run(package, lists)


@needs_root
def test_the_firewalls_rule_stands_before_the_one_that_drops(package):
    if not shutil.which("nft"):
        pytest.skip("no nft here")
    (rule,) = re.findall(r"^    (nft insert .*)$", PAGE, flags=re.M)
    chain = "{ type filter hook input priority 0 ; policy drop ; }"
    script = f"""nft add table inet filter; nft 'add chain inet filter input {chain}'
nft add rule inet filter input drop; {rule}; nft list chain inet filter input"""
    try:
        out = run(package, script, prefix=("unshare", "-n"))
    except AssertionError as e:
        if "not supported" in str(e) or "not permitted" in str(e):
            pytest.skip("this kernel has no nf_tables")
        raise
    assert out.index("dport 1232-1242 accept") < out.index("\t\tdrop")


@pytest.mark.parametrize("manpath", [None, "/usr/share/man"])
def test_module_for_tcl(package, manpath):
    if not shutil.which("tclsh"):
        pytest.skip("no tclsh here")
    stubs = """proc module-whatis {text} {}
proc prepend-path {name value} {
    if {[info exists ::env($name)]} { set ::env($name) $value:$::env($name) } else { set ::env($name) $value }
}
"""
    code = find_code("tcl")
    assert code.startswith("#%Module1.0\n")
    (package / "module.tcl").write_text(f"{stubs}{code}puts $env(PATH)\nif {{[info exists env(MANPATH)]}} "
                                        "{ puts $env(MANPATH) }\n")  # fmt: skip
    setting = f"MANPATH={manpath} " if manpath else ""
    path, *man = run(package, f"{setting}tclsh module.tcl").splitlines()
    assert path.startswith("/opt/escp/escp-0.1.0/bin:")
    assert man == ([f"/opt/escp/escp-0.1.0/share/man:{manpath}"] if manpath else [])


@pytest.mark.parametrize("manpath", [None, "/usr/share/man"])
def test_module_for_lmod(package, manpath):
    lua = next(filter(shutil.which, ("lua", "lua5.4", "lua5.3", "lua5.1", "luajit", "texlua")), None)
    if lua is None:
        pytest.skip("no lua here")
    stubs = """help, whatis = function() end, function() end
myModuleVersion = function() return "0.1.0" end
pathJoin = function(a, b) return a .. "/" .. b end
prepend_path = function(name, value) print(name .. "=" .. value) end
"""
    (package / "module.lua").write_text(stubs + find_code("lua"))
    setting = f"MANPATH={manpath} " if manpath else "unset MANPATH; "
    out = run(package, f"{setting}{lua} module.lua")
    assert "PATH=/opt/escp/escp-0.1.0/bin\n" in out
    assert ("MANPATH=" in out) is (manpath is not None)


def test_man_finds_pages_beside_a_bin_of_the_path(package):
    """Which is why the modules leave MANPATH alone."""
    if not shutil.which("manpath"):
        pytest.skip("no manpath here")
    tree = package / "made" / "escp-0.1.0"
    assert f"{tree}/share/man" in run(package, f"PATH={tree}/bin:$PATH manpath -q").strip().split(":")


# What a host says of the repository, with lists and sources of its own. apt checks the signature first.
APT = """mkdir -p apt/lists/partial apt/cache/archives/partial; echo '%s' > apt/list; touch apt/status
cat > apt/conf <<END
Dir::Etc::SourceList "$PWD/apt/list"; Dir::Etc::SourceParts "/dev/null"; Dir::State "$PWD/apt";
Dir::State::status "$PWD/apt/status"; Dir::Cache "$PWD/apt/cache"; APT::Sandbox::User "";
APT::Architecture "amd64";
END
export APT_CONFIG=$PWD/apt/conf; apt-get -q update --error-on=any; apt-cache policy escp"""


@pytest.fixture
def repository(package):
    """A key, a package of each kind if its tools are here, and the page's commands."""
    (package / "home" / ".gnupg").mkdir(mode=0o700)
    if not shutil.which("gpg"):
        pytest.skip("no gpg here")
    run(package, "gpg --batch --passphrase '' --quick-gen-key escp@example.org")
    yield find_commands(find_section("A repository of your own"))
    run(package, "gpgconf --kill all")


def test_signed_repository_for_apt(package, repository):
    if not (shutil.which("apt-ftparchive") and shutil.which("dpkg-deb")):
        pytest.skip("no apt-ftparchive or dpkg-deb here")
    control = package / "deb" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    fields = ("Package: escp", "Version: 0.1.0", "Architecture: amd64", "Maintainer: x <x@example.org>")
    control.write_text("\n".join([*fields, "Description: x", ""]))
    run(package, f"dpkg-deb -b deb escp_0.1.0_amd64.deb\n{repository[0]}\ngpg --verify InRelease")
    run(package, repository[0])  # a new version: what is there already does no harm
    assert "Package: escp" in (package / "repo" / "Packages").read_text()
    assert "SHA256:" in (package / "repo" / "InRelease").read_text()
    (line,) = re.findall("^echo '(deb .*)' > ", repository[1], flags=re.M)
    line = line.replace("/etc/apt/keyrings", f"{package}/repo").replace(
        "https://example.org", f"file:{package}"
    )
    out = run(package, APT % line)
    assert "Candidate: 0.1.0\n" in out and f"file:{package}/repo" in out


def test_signed_repository_for_dnf(package, repository):
    if not shutil.which("createrepo_c"):
        pytest.skip("no createrepo_c here")
    (package / "repo").mkdir()
    run(package, repository[2])
    run(package, repository[2])
    run(package, "gpg --verify repo/repodata/repomd.xml.asc repo/repodata/repomd.xml")


def test_packages_from_a_folder_of_wheels(tmp_path):
    """What pip is told; that it asks no network then, an empty folder shows."""
    program = """import build; from pathlib import Path
assert build.take_wheels(['-k', 'x', '--wheels', 'W', 'y']) == ['-k', 'x', 'y']
assert build.take_wheels(['--wheels=W']) == [] and build.take_wheels(['a']) == ['a']
build.VENV = Path('venv').resolve(); build.VENV_PYTHON = build.VENV / 'bin' / 'python'
build.prepare_venv(('requirements.txt',))"""
    (tmp_path / "W").mkdir()
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 1 and "No matching distribution found" in done.stdout, done
    done = subprocess.run([sys.executable, ROOT / "build.py", "setup", "--wheels", tmp_path / "none"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2 and f"--wheels: there is no folder '{tmp_path}/none'" in done.stderr


# ---- Recipes ----------------------------------------------------------------------------------------


def test_recipes_can_be_read():
    spack = ast.parse((RECIPES / "spack" / "package.py").read_text())
    assert any(isinstance(node, ast.ClassDef) and node.name == "Escp" for node in spack.body)
    (easyconfig,) = (RECIPES / "easybuild").glob("*.eb")
    names = {"SOURCE_TAR_GZ": "escp-0.1.0.tar.gz", "SYSTEM": {}}
    exec(compile(easyconfig.read_text(), easyconfig.name, "exec"), names)
    assert easyconfig.name == f"escp-{names['version']}-GCCcore-{names['toolchain']['version']}.eb"
    conda = yaml.safe_load((RECIPES / "conda" / "meta.yaml").read_text())
    assert conda["package"] == {"name": "escp", "version": names["version"]}


def test_recipes_name_what_escp_needs():
    project = (ROOT / "pyproject.toml").read_text()
    needed = re.findall(
        r'^    "([a-z]+)>=', project.partition("dependencies = [")[2].partition("]")[0], flags=re.M
    )
    assert needed == ["pyyaml", "rich"]
    for path in RECIPES.glob("*/*"):
        text = path.read_text().lower()
        for name in (*needed, "openssl", "zstd", "xxhash", "cython"):
            assert name in text, (path.name, name)
