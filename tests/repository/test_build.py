"""build.py, packaging/system_packages.py and setup.py: what they say and do without installing anything."""

import importlib.util
import itertools
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from setuptools import Distribution
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.sysconfig import customize_compiler

ROOT = Path(__file__).parents[2]


def load(path: str):
    """A script as a module; the names `build` and `setup` belong to others."""
    spec = importlib.util.spec_from_file_location(f"escp_{Path(path).stem}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build():
    return load("build.py")


@pytest.fixture
def packages():
    return load("packaging/system_packages.py")


@pytest.fixture
def native(monkeypatch):
    for name in list(os.environ):
        if name.startswith("ESCP_"):
            monkeypatch.delenv(name)
    return load("setup.py")


# --- Command line -------------------------------------------------------------------------------


def run_build(*arguments):
    command = [sys.executable, ROOT / "build.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["test", "--help"]])
def test_help_explains_each_verb(arguments):
    done = run_build(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for verb in "setup demo test freeze release bench fuzz mutations lint man".split():
        assert re.search(rf"^  {verb} +\w+", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["--wheel"], ["sdist"], ["setup", "now"], ["lint", "escp"]])
def test_unknown_argument_exits_2_with_a_hint(arguments):
    done = run_build(*arguments)
    assert done.returncode == 2
    assert "build: error: " in done.stderr
    assert "build: hint: " in done.stderr
    assert "pip wheel ." in done.stderr


@pytest.mark.parametrize("words", [["-k", "x"], ["--", "-k", "x"]])
def test_arguments_of_test_go_to_pytest(build, monkeypatch, words):
    calls = []
    monkeypatch.setattr(build, "setup", lambda *verb, **how: calls.append((verb, how)))
    monkeypatch.setattr(build, "become", lambda *command: calls.append(command[1:]))
    assert build.main(["test", *words]) == 0
    assert calls[0] == (("test",), {"is_native": True})
    assert calls[1][:3] == ("-m", "pytest", "-n") and calls[1][-2:] == ("-k", "x")


def test_quick_tests_need_nothing_compiled(build, monkeypatch):
    calls = []
    monkeypatch.setattr(build, "setup", lambda *verb, **how: calls.append((verb, how)))
    monkeypatch.setattr(build, "become", lambda *command: calls.append(command[1:]))
    assert build.main(["test", "--quick", "-x"]) == 0
    assert calls[0] == (("test",), {"is_native": False})
    assert calls[1][-2:] == ("tests/jobs", "-x") and "--quick" not in calls[1]
    modules = sorted(path for folder in build.QUICK_TESTS for path in (ROOT / folder).rglob("test_*.py"))
    for path in modules:  # what runs escp needs all of it
        assert not re.search(r"^def test_.*\bescp\b", path.read_text(), re.MULTILINE), path
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    code = (
        "import importlib, sys\n"
        "sys.path[:0] = ['.', 'packaging']\n"
        "sys.modules['escp._fast'] = None\n"  # whoever imports it fails
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, check=True, timeout=60)


def test_failing_command_shows_its_output_and_no_traceback(build, capfd):
    with pytest.raises(build.Stop, match="trying failed"):
        build.run("sh", "-c", "echo said this; exit 3", what="trying")
    with pytest.raises(build.Stop):
        build.run("/nonexistent/program", what="trying")
    out = capfd.readouterr().out
    assert "said this" in out
    assert "cannot start /nonexistent/program" in out


def test_ci_runs_build_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "exec python3 build.py test\n" in script.read_text()


# --- System packages ----------------------------------------------------------------------------


@pytest.fixture
def missing_zstd(packages, monkeypatch):
    """A Debian that lacks libzstd-dev; returns the commands it was asked to run."""
    package = next(package for package in packages.PACKAGES if package.debian == "libzstd-dev")
    monkeypatch.setattr(packages, "find_system", lambda: "debian")
    monkeypatch.setattr(packages, "list_missing", lambda wanted, system: [package])
    monkeypatch.setattr(packages, "find_root_prefix", lambda: ["sudo", "-n"])
    return []


def test_missing_package_without_root_names_both_distributions(packages, missing_zstd, monkeypatch):
    monkeypatch.setattr(packages, "find_root_prefix", lambda: None)
    with pytest.raises(packages.CannotInstall) as caught:
        packages.install_missing("setup", run=None, say=None)
    assert "apt-get install libzstd-dev\n" in str(caught.value)
    assert "dnf install libzstd-devel" in str(caught.value)


def test_missing_package_without_root_ends_build_with_2(build, monkeypatch, capsys):
    def refuse(*_):
        raise build.system_packages.CannotInstall("install libzstd-dev")

    monkeypatch.setattr(build.system_packages, "install_missing", refuse)
    assert build.main(["setup"]) == 2
    assert "build: error: install libzstd-dev" in capsys.readouterr().err


def test_optional_package_without_root_is_done_without(packages, missing_zstd, monkeypatch):
    monkeypatch.setattr(packages, "OPTIONAL", {"libzstd-dev"})
    monkeypatch.setattr(packages, "find_root_prefix", lambda: None)
    packages.install_missing("setup", run=None, say=None)


def test_apt_is_asked_again_after_an_update(packages, missing_zstd, monkeypatch):
    monkeypatch.setattr(packages.Path, "glob", lambda *_: ["main_Packages"])

    def run(*command, what):
        missing_zstd.append(command[command.index("DPkg::Lock::Timeout=120") + 1 :])
        return len(missing_zstd) != 1

    packages.install_missing("setup", run, say=lambda text: None)
    install = ("install", "-y", "--no-install-recommends", "libzstd-dev")
    assert missing_zstd == [install, ("update",), install]


def test_failed_installation_says_what_to_install(packages, missing_zstd):
    with pytest.raises(packages.CannotInstall, match="apt-get install libzstd-dev"):
        packages.install_missing("setup", run=lambda *_, what: False, say=lambda text: None)


def test_package_database_is_understood(packages):
    system = packages.find_system()
    if not system:
        pytest.skip("neither dpkg nor rpm")
    base = packages.Package("libc6", "glibc", "all", "")
    absent = packages.Package("escp-no-such", "escp-no-such", "all", "")
    elsewhere = packages.Package("", "", "all", "")
    assert packages.list_missing([base, absent, elsewhere], system) == [absent]


def test_library_that_is_elsewhere_is_not_installed(packages, monkeypatch):
    monkeypatch.setenv("ESCP_ZSTD_PREFIX", "/opt/zstd")
    assert "libzstd-dev" not in [package.debian for package in packages.list_wanted("setup")]


def list_names(packages, verb):
    return {package.debian for package in packages.list_wanted(verb)}


def test_each_verb_installs_what_it_needs(packages, monkeypatch):
    monkeypatch.setattr(packages, "can_release", lambda: False)
    plain = list_names(packages, "setup")
    for_packages = {"rpm", "cpio", "libyaml-0-2", "python3-minimal"}
    for verb in ("demo", "lint", "man", "freeze", "fuzz"):
        assert list_names(packages, verb) == plain
    assert list_names(packages, "bench") - plain == {"openssh-server"}
    assert list_names(packages, "package") - plain == for_packages
    assert list_names(packages, "test") - plain == for_packages | {
        "openssh-server", "iproute2", "nftables", "mandoc", "bash-completion", "zsh", "fish", "busybox",
        "tcsh", "strace", "xfsprogs", "lua5.4", "tcl", "man-db", "gnupg", "apt-utils", "createrepo-c",
    }  # fmt: skip


def test_installed_services_stay_disabled(packages, missing_zstd, monkeypatch):
    server = next(package for package in packages.PACKAGES if package.debian == "openssh-server")
    monkeypatch.setattr(packages, "list_missing", lambda wanted, system: [server])
    monkeypatch.setattr(packages.shutil, "which", lambda program, path=None: f"/usr/bin/{program}")
    commands = []
    packages.install_missing(
        "test", lambda *command, what: commands.append(command) or True, lambda text: None
    )
    after = commands[[command[-1] for command in commands].index("openssh-server") + 1 :]
    assert after == [
        ("sudo", "-n", "systemctl", "disable", "ssh.service", "ssh.socket"),
        ("sudo", "-n", "deb-systemd-helper", "disable", "ssh.service", "ssh.socket"),
        ("sudo", "-n", "update-rc.d", "ssh", "disable"),
    ]


def test_release_needs_more_on_debian_12_only(packages, monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "can_release", lambda: True)
    assert list_names(packages, "release") - list_names(packages, "setup") == {
        *["debian-archive-keyring", "dpkg-dev", "libffi-dev", "make", "zlib1g-dev"],
    }
    assert {"debootstrap", "openssh-server"} <= list_names(packages, "test") - list_names(packages, "release")
    monkeypatch.undo()
    for text, expected in (
        ('ID=debian\nVERSION_ID="12"\n', True),
        ('ID=debian\nVERSION_ID="13"\n', False),
        ('ID="rhel"\nVERSION_ID="9.4"\n', False),
    ):
        (tmp_path / "os-release").write_text(text)
        assert packages.can_release(tmp_path / "os-release") is expected
    assert not packages.can_release(tmp_path / "absent")


def test_release_elsewhere_says_where_it_works(build, monkeypatch, capsys):
    monkeypatch.setattr(build.system_packages, "can_release", lambda: False)
    assert build.main(["release"]) == 2
    assert "build: error: `release` works on Debian 12 only" in capsys.readouterr().err


# --- .venv and what is compiled -----------------------------------------------------------------


def test_launcher_runs_from_a_path_with_spaces(build, tmp_path):
    python = tmp_path / "a folder" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    launcher = tmp_path / "launcher"
    launcher.write_text(build.launcher_text(python).replace("escp.__main__", "escp_not_there"))
    launcher.chmod(0o755)
    done = subprocess.run([launcher], capture_output=True, text=True, timeout=60, check=False)
    assert "No module named 'escp_not_there'" in done.stderr
    assert build.launcher_text("/x/python").startswith("#!/x/python -I\n")


def test_venv_gets_what_a_verb_needs_and_nothing_twice(build, tmp_path, monkeypatch):
    said, commands = [], []
    venv = tmp_path / ".venv"
    for name in build.RUN_LISTS + build.DEV_LISTS:
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "VENV", venv)
    monkeypatch.setattr(build, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(build, "say", said.append)

    def run(*command, **_):
        commands.append([str(word) for word in command])
        if command[1:3] == ("-m", "venv"):
            subprocess.run([*map(str, command[:-1]), "--without-pip", str(command[-1])], check=True)

    monkeypatch.setattr(build, "run", run)
    for lists in (build.RUN_LISTS, build.RUN_LISTS):
        build.prepare_venv(lists)
    assert [command[2] for command in commands] == ["venv", "pip"]
    assert commands[1][-4:] == ["-r", "requirements.txt", "-r", "requirements-build.txt"]
    build.prepare_venv(build.RUN_LISTS + build.DEV_LISTS)
    build.prepare_venv(build.RUN_LISTS)
    assert [command[2] for command in commands] == ["venv", "pip", "pip"]
    assert commands[2][-2:] == ["-r", "requirements-dev.txt"]
    (tmp_path / "requirements.txt").write_text("another pin")
    build.prepare_venv(build.RUN_LISTS)
    assert [command[2] for command in commands[3:]] == ["venv", "pip"]
    assert len(said) == 5  # a line before each of them


def test_nothing_is_compiled_twice(build, tmp_path, monkeypatch):
    fast, venv = tmp_path / "fast", tmp_path / "venv"
    room = fast / "room"
    room.mkdir(parents=True)
    venv.mkdir()
    for path in (room / "one.pyx", fast / "_native.cpython-311.so", venv / "pyvenv.cfg"):
        path.touch()
    commands = []
    monkeypatch.delenv("ESCP_BUILD", raising=False)
    monkeypatch.setattr(build, "FAST", fast)
    monkeypatch.setattr(build, "VENV", venv)
    monkeypatch.setattr(build, "run", lambda *command, **_: commands.append(command[1]))
    build.compile_fast()
    assert commands == ["setup.py", "-c"]
    build.compile_fast()
    assert len(commands) == 2
    os.utime(room / "one.pyx", (1, 1))
    build.compile_fast()
    assert len(commands) == 4
    monkeypatch.setenv("ESCP_BUILD", "debug")
    build.compile_fast()
    assert len(commands) == 6


def test_every_dependency_is_pinned_with_hashes():
    lists = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
    texts = {name: (ROOT / name).read_text() for name in lists}
    pins = {name: dict(re.findall(r"^([\w.-]+)==(\S+) ", text, re.MULTILINE)) for name, text in texts.items()}
    for text in texts.values():
        for pin in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
            assert "--hash=sha256:" in pin
    runtime, compiling, dev = pins.values()
    for first, second in itertools.combinations(pins.values(), 2):  # the same version where two have one
        assert {name: second[name] for name in first.keys() & second.keys()}.items() <= first.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for wanted, pinned in (
        (project["project"]["dependencies"], runtime),
        (project["dependency-groups"]["build"], compiling),
        (project["dependency-groups"]["dev"], dev),
    ):
        assert {re.match(r"[\w.-]+", word)[0] for word in wanted} <= pinned.keys()


# --- setup.py -----------------------------------------------------------------------------------


def test_missing_libraries_stop_with_one_message(native, monkeypatch):
    monkeypatch.setenv("ESCP_ZSTD_PREFIX", "/nonexistent")
    monkeypatch.setenv("ESCP_XXHASH_PREFIX", "/nonexistent")
    with pytest.raises(SystemExit) as caught:
        native.find_libraries()
    message = str(caught.value)
    assert "libzstd: <zstd.h>" in message
    assert "xxHash: <xxhash.h>" in message
    assert "Debian: apt-get install libzstd-dev libxxhash-dev" in message
    assert "RHEL: dnf install libzstd-devel xxhash-devel" in message


def test_missing_compiler_stops_with_a_message(native, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/cc")
    with pytest.raises(SystemExit, match="no C compiler"):
        native.find_libraries()


def test_missing_ipsec_mb_is_fatal_only_where_it_is_required(native, monkeypatch, capsys):
    monkeypatch.setenv("ESCP_IPSEC_MB_PREFIX", "/nonexistent")
    found = native.find_libraries()
    assert "imb" not in found
    assert "built without libIPSec_MB" in capsys.readouterr().err
    assert "AEAD_BACKENDS = ('openssl',)" in native.describe_build(found, [])
    monkeypatch.setenv("ESCP_REQUIRE", "imb")
    with pytest.raises(SystemExit, match="libipsec-mb-dev"):
        native.find_libraries()
    monkeypatch.setenv("ESCP_REQUIRE", "magic")
    with pytest.raises(SystemExit, match="ESCP_REQUIRE names 'magic'"):
        native.find_libraries()


def test_hardening_is_what_the_compiler_knows(native, tmp_path, monkeypatch):
    old = tmp_path / "cc"
    old.write_text('#!/bin/sh\ncase "$*" in *SOURCE=3* | *cf-protection*) exit 1 ;; esac\nexec gcc "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("CC", str(old))
    assert native.find_hardening() == ["-D_FORTIFY_SOURCE=2", "-fstack-clash-protection"]
    monkeypatch.setattr(native, "IS_DEBUG", True)
    assert native.find_hardening() == []


def test_unknown_build_stops_with_those_there_are():
    command = [sys.executable, str(ROOT / "setup.py"), "-q", "build_ext", "-i"]
    env = dict(os.environ, ESCP_BUILD="fast")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode and "ESCP_BUILD='fast'; known: debug, tsan, fuzz" in done.stderr


@pytest.mark.parametrize("words", [["--sanitize=tsan", "-k", "x"], ["-k", "x", "--sanitize=tsan"]])
def test_sanitize_is_a_script_of_its_own(build, monkeypatch, words):
    calls = []
    monkeypatch.setattr(build, "setup", lambda *_, **__: None)
    monkeypatch.setattr(build, "become", lambda *command: calls.append(command[1:]))
    monkeypatch.setattr(build, "test_frozen", lambda *_: None)
    assert build.main(["test", *words]) == 0
    assert calls[0][0].name == "sanitize.py" and calls[0][1:] == ("tsan", "-k", "x")


def translate(native, folder, monkeypatch, source):
    (folder / "sample.pyx").write_text(source)
    monkeypatch.chdir(folder)
    native.translate([native.Extension("sample", ["sample.pyx"])], "out")


def test_performance_hint_stops_the_build_each_time(native, tmp_path, monkeypatch, capfd):
    pytest.importorskip("Cython")
    hinted = "cdef void f(int x) nogil:\n    pass\ndef g():\n    f(1)\n"
    for _ in range(2):
        with pytest.raises(SystemExit, match="1 performance hints"):
            translate(native, tmp_path, monkeypatch, hinted)
        assert "performance hint: sample.pyx:1" in capfd.readouterr().err
    translate(native, tmp_path, monkeypatch, hinted.replace("nogil", "noexcept nogil"))
    assert (tmp_path / "out" / "sample.c").exists()


def test_cython_error_stops_without_traceback(native, tmp_path, monkeypatch, capfd):
    pytest.importorskip("Cython")
    with pytest.raises(SystemExit, match="Cython failed"):
        translate(native, tmp_path, monkeypatch, "cdef int f() noexcept nogil:\n    return nothing\n")
    err = capfd.readouterr().err
    assert "undeclared name not builtin: nothing" in err
    assert "Traceback" not in err


def test_only_what_changed_is_compiled_again(native, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.h").write_text("int one(void);")
    Path("one.c").write_text('#include "one.h"\nint one(void) { return 1; }')
    Path("two.c").write_text("int two(void) { return 2; }")
    library = native.Extension("library", ["one.c", "two.c"])
    command = native.BuildFast(Distribution({"ext_modules": [library]}))
    command.ensure_finalized()
    command.compiler, command.build_lib, command.build_temp = new_compiler(), ".", "made"
    customize_compiler(command.compiler)
    command._headers = {"one.c": ["one.h"], "two.c": []}

    def build() -> set[str]:
        before = {path: path.stat().st_mtime_ns for path in Path().rglob("*.*o")}
        command.build_extension(library)
        return {path.name.split(".")[0] for path in Path().rglob("*.*o")
                if before.get(path) != path.stat().st_mtime_ns}  # fmt: skip

    assert build() == {"one", "two", "library"}
    assert build() == set()
    os.utime("two.c", (time.time() + 2, time.time() + 2))
    assert build() == {"two", "library"}
    os.utime("two.c", (1, 1))
    os.utime("one.h", (time.time() + 2, time.time() + 2))
    assert build() == {"one", "library"}


def test_headers_are_followed(native, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base, crypto, *_ = native.INCLUDED
    for folder in native.INCLUDED:
        folder.mkdir(parents=True)
    (crypto / "a.c").write_text('#include "b.h"\n#include <stdio.h>\n')
    (base / "b.h").write_text('# include "c.h"\n')
    (crypto / "c.h").write_text('#include "b.h"\n')
    assert native.headers_of([str(crypto / "a.c"), "build/x.c"]) == [str(base / "b.h"), str(crypto / "c.h")]


def test_pre_commit_offers_what_lint_runs_and_nothing_from_elsewhere(build):
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repo,) = config["repos"]
    assert repo["repo"] == "local"
    commands = []
    for hook in repo["hooks"]:
        assert hook["language"] == "system" and hook["pass_filenames"] is False
        words = hook["entry"].removeprefix("env PATH=.venv/bin:/usr/bin:/bin ").removeprefix(".venv/bin/")
        commands.append(words)
    assert tuple(commands) == build.LINTERS
    pinned = (ROOT / "requirements-dev.txt").read_text()
    for program in ("ruff", "mypy", "cython-lint", "pytest", "pycodestyle"):
        assert re.search(rf"^{program}==", pinned, re.MULTILINE), program


# --- Copies that are compiled in another way ----------------------------------------------------


@pytest.fixture
def fuzz(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "packaging")
    module = load("packaging/fuzz.py")
    module.FOLDER = tmp_path / "fuzz"
    return module


def test_second_fuzzer_leaves_the_first_ones_tree_as_it_is(fuzz, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(fuzz.variants, "make_variant", lambda *told: made.append(told))
    lock = fuzz.compile_tree("clang")
    os.close(fuzz.compile_tree("clang"))
    assert len(made) == 1 and "in use" in capsys.readouterr().out
    os.close(lock)
    os.close(fuzz.compile_tree("clang"))
    assert len(made) == 2


def test_compiler_of_several_words_links_a_python(fuzz, tmp_path):
    source = tmp_path / "python.c"
    source.write_text("int main(void) { return 0; }\n")
    python = fuzz.variants.make_python(tmp_path / "python", source, [], {**os.environ, "CC": "env gcc"})
    assert subprocess.run([python], check=False, timeout=60).returncode == 0
