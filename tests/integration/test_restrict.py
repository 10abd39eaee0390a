"""`command="escp --server --restrict DIR"` in authorized_keys, by a real sshd: nothing outside is reached."""

import contextlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

import escp as library
from escp import errors
from tests.api.test_copy import login
from tests.support.command import needs_root
from tests.support.restricted import SIZES
from tests.support.trees import list_tree, make_tree


@pytest.fixture
def tree(source) -> Path:
    make_tree(source)
    (source / "large").write_bytes(os.urandom(1_000_000))
    return source


@pytest.mark.parametrize("name", ["", "new", "~/new", "./new", "{reached}/new"])
def test_what_lies_below_it_is_copied_there_and_back(host, tree, folder, name):
    place = name.format(reached=host.reached)
    host.escp.copy("-r", tree, f"box:{place}")
    copied = host.reached / ("new" if name else "source")
    assert list_tree(copied) == list_tree(tree)
    host.escp.copy("-r", f"box:{copied.name}", folder / "back")
    host.escp.copy("-r", f"box:{copied}", folder / "again")
    assert list_tree(folder / "back") == list_tree(folder / "again") == list_tree(tree)


@pytest.mark.parametrize(
    "name",
    ["{outside}/new", "../outside/new", "{outside}", "/new", "{outside}/secret", "link/new", "link",
     "../outside/", "{reached}/../outside/x", "file", "~root/x", "sub/../../outside/x",
     "/proc/self/cwd/../outside/x"],
)  # fmt: skip
@pytest.mark.parametrize("options", [[], ["--mkpath"], ["--inplace"], ["-n"]], ids=" ".join)
def test_a_target_outside_is_refused(host, source, name, options):
    (source / "file").write_text("evil")
    (host.reached / "link").symlink_to(host.outside)
    (host.reached / "file").symlink_to(host.outside / "secret")
    (host.reached / "sub").mkdir()
    target = name.format(outside=host.outside, reached=host.reached)
    done = host.escp.fail(16, *options, source / "file", f"box:{target}")
    assert "--restrict" in done.error or "rules forbid" in done.err
    assert target in done.error or target in done.err
    host.assert_untouched()


@pytest.mark.parametrize(
    "name",
    ["{outside}/secret", "../outside/secret", "link/secret", "secret", "*/secret", "{outside}/s*", "l*/s*",
     "tree", "{outside}", "../.", "link", "link/"],
)  # fmt: skip
@pytest.mark.parametrize(
    "options", [["-r"], ["-r", "--links"], ["-rn", "--itemize"], ["-r", "--checksum"]], ids=" ".join
)
def test_a_source_outside_is_refused(host, target, name, options):
    (host.reached / "link").symlink_to(host.outside)
    (host.reached / "secret").symlink_to("../outside/secret")
    (host.reached / "tree").mkdir()
    (host.reached / "tree" / "secret").symlink_to(host.outside / "secret")
    (host.reached / "tree" / "link").symlink_to(host.outside)
    done = host.escp.run(*options, f"box:{name.format(outside=host.outside)}", target)
    copied = {path for path in target.rglob("*") if path.is_file() and not path.is_symlink()}
    assert not copied
    keeps_links = (
        "--links" in options and not name.endswith("/") and name in ("secret", "*/secret", "tree", "link")
    )
    assert done.code == (0 if keeps_links else 1), done.err
    assert keeps_links or "rules forbid" in done.err or "no such file" in done.err.lower()
    assert not any(word in done.out + done.err for word in ("a secret", *SIZES))


def test_links_that_stay_inside_are_followed(host, target):
    (host.reached / "real").mkdir()
    (host.reached / "real" / "a").write_text("a")
    (host.reached / "tree").mkdir()
    (host.reached / "tree" / "one").symlink_to("../real/a")
    (host.reached / "tree" / "two").symlink_to(host.reached / "real")
    host.escp.copy("-r", "box:tree", target)
    assert (target / "tree" / "one").read_text() == (target / "tree" / "two" / "a").read_text() == "a"
    host.escp.copy(target / "tree" / "one", "box:tree/two/")
    assert (host.reached / "real" / "one").read_text() == "a"


def test_a_tree_with_all_that_is_kept(host, tree, folder):
    (tree / "link").symlink_to("large")
    (tree / "hard").hardlink_to(tree / "large")
    host.escp.copy("-a", tree, "box:")
    host.escp.copy("-a", "--delete", tree, "box:")
    host.escp.copy("-a", "box:source", folder / "back")
    assert list_tree(folder / "back") == list_tree(tree) == list_tree(host.reached / "source")
    assert (host.reached / "source" / "hard").samefile(host.reached / "source" / "large")


def test_deletion_resume_lists_and_removal(host, tree, folder, target):
    host.escp.copy("-r", tree, "box:")
    (host.reached / "source" / "old").mkdir()
    (host.reached / "source" / "old" / "x").write_text("x")
    host.escp.copy("-r", "--delete", "--resume", tree, "box:")
    assert list_tree(host.reached / "source") == list_tree(tree)
    (folder / "list").write_text("box:source/large\nbox:../outside/secret\n")
    done = host.escp.run("--filelist", folder / "list", target)
    assert done.code == 1 and os.listdir(target) == ["large"]
    host.escp.copy("--remove-source-files", "box:source/large", folder / "moved")
    assert not (host.reached / "source" / "large").exists()
    done = host.escp.run("--remove-source-files", "box:../outside/secret", folder / "moved2")
    assert done.code == 1


@pytest.mark.parametrize("way", ["-3", "-R"])
def test_between_two_hosts(host, tree, way):
    host.escp.copy("-r", tree, "box:")
    host.escp.copy(way, "-r", "box:source", "box:again")
    assert list_tree(host.reached / "again") == list_tree(tree)
    host.escp.fail(16, way, "-r", "box:source", f"box:{host.outside}/new")
    assert host.escp.run(way, "-r", f"box:{host.outside}", "box:more").code == 1


def test_the_agent_connects_to_no_service_of_its_host(host, source):
    """There may be some that trust whoever reaches them: nothing was forwarded to them by sshd either."""
    (source / "a").write_text("x")
    words = ("--reverse", "--data-host", "127.0.0.2", source / "a", "box:")
    done = host.escp.fail(16, *words)
    assert "127.0.0.2, which is an address of this host" in done.error and "--restrict" in done.error
    assert os.listdir(host.reached) == []
    host.escp.copy("--reverse", source / "a", "box:b")
    host.let_in()
    host.escp.copy(*words[:-1], f"box:{host.reached}/c")
    assert sorted(os.listdir(host.reached)) == ["b", "c"]


@pytest.mark.parametrize("command", [["ls"], ["/usr/lib/openssh/sftp-server"], ["sh", "-c", "id"]])
def test_a_login_does_nothing_else(host, command):
    words = ["ssh", "-F", str(host.sshd.client_config), "box", *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 16 and done.stdout == ""
    assert "copies with escp and does nothing else" in done.stderr


def test_doctor_and_clean_agents_get_a_sentence(host):
    done = host.escp.run("--doctor", "box")
    assert done.code == 16 and "only copies" in done.err
    done = host.escp.run("--clean-agents", "box")
    assert done.code == 16 and "does nothing else" in done.error


def test_names_in_place_of_others_while_it_is_copied(host, source, target):
    """Whoever may write below DIR (by another session, for example) makes links there all the time."""
    (source / "d").mkdir()
    for i in range(30):
        (source / "d" / f"secret{i}").write_text("evil")
        (host.outside / f"secret{i}").write_text("secret")
    (host.reached / "d").mkdir()
    ends = threading.Event()

    def swap() -> None:
        at, other = host.reached / "d", host.reached / "other"
        while not ends.is_set():
            with contextlib.suppress(OSError):  # a copy has made one meanwhile
                at.rename(other)
                at.symlink_to(host.outside)
                at.unlink()
                other.rename(at)
            if not at.exists():
                with contextlib.suppress(OSError):
                    at.mkdir()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for i in range(6):
            host.escp.run("-r", source / "d", "box:")
            host.escp.run("-r", "box:d", target / str(i))
            host.escp.run("box:d/*", target)
    finally:
        ends.set()
        thread.join()
    found = {path.read_text() for path in host.outside.iterdir() if path.name != "secret"}
    assert found == {"secret"}
    assert not any(path.read_text() == "secret" for path in target.rglob("*") if path.is_file())
    for i in range(30):
        (host.outside / f"secret{i}").unlink()


# ---- Where DIR is a home directory ----------------------------------------------------------------------


@pytest.fixture
def home(host) -> Path:
    host.force("--restrict", "~")
    home = host.escp.home
    (home / ".ssh").mkdir()
    (home / ".ssh" / "authorized_keys").write_text("good")
    (home / ".config").mkdir()
    (home / ".config" / "escp.conf").write_text("logfile: /tmp/x\n")
    (home / ".config" / "escp.conf").chmod(0o600)
    (home / ".local" / "state" / "escp").mkdir(parents=True)
    (home / ".local" / "state" / "escp" / "x.arrived").write_text("good")
    return home


OWN = [".ssh/authorized_keys", ".config/escp.conf", ".local/state/escp/x.arrived", ".bashrc",
       ".local/bin/escp", ".cache/escp/evil", ".a.escp-part", ".a.escp-journal", ".SSH/rc",
       ".config/escp/tls/key.pem", ".escp-1.part"]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("options", [["-r"], ["-r", "--inplace"], ["-a", "--delete"]], ids=" ".join)
def test_what_would_set_free_is_not_written(host, home, source, name, options):
    before = list_tree(home)
    (source / "top" / name).parent.mkdir(parents=True)
    (source / "top" / name).write_text("evil")
    done = host.escp.run(*options, f"{source}/top/.", "box:")
    assert done.code in (1, 16), done.err
    host.escp.run(source / "top" / name, f"box:{name}")
    host.escp.run("--mkpath", source / "top" / name, f"box:{name}")
    host.escp.run(source / "top" / name, f"box:{Path(name).parent}")
    shutil.rmtree(source)
    after = list_tree(home)
    assert {path: what for path, what in after.items() if path in before} == before
    assert not any(path.is_file() and path.read_text() == "evil" for path in home.rglob("*"))


def test_nor_read_nor_linked_to_nor_removed(host, home, target, folder):
    (home / "a").write_text("a")
    (home / "x").symlink_to(".ssh")
    for name in (".ssh/authorized_keys", ".config/escp.conf", "x/authorized_keys", ".ssh/*"):
        assert host.escp.run(f"box:{name}", target).code == 1
        assert host.escp.run("--remove-source-files", f"box:{name}", target).code == 1
    done = host.escp.run("-r", "box:", folder / "all")
    assert done.code == 1 and "rules forbid" in done.err
    assert [path.name for path in (folder / "all").rglob("*") if path.is_file()] == ["a"]
    (folder / "empty").mkdir()
    host.escp.run("-r", "--delete", f"{folder}/empty/.", "box:")
    assert sorted(path.name for path in home.rglob("*") if path.is_file() and "cache" not in str(path)) == [
        "authorized_keys", "escp.conf", "x.arrived"]  # fmt: skip


@needs_root
def test_one_device_file_outside_is_not_opened(host, target):
    (host.reached / "tape").symlink_to("/dev/null")
    assert host.escp.run("box:tape", target).code == 1
    assert host.escp.run("/etc/hostname", "box:tape").code == 16


def test_each_copy_of_a_program_that_stays_logged_in(host, source):
    """An agent that carries others starts them with its own words: below DIR, whatever ~ is."""
    (host.escp.home / "in").mkdir()
    host.force("--restrict", "~/in")
    (source / "a").write_text("a")
    with library.connect("box", **login(host.escp)) as far:
        assert far.put(source / "a", "~/b").ok and far.put(source / "a").ok
        assert far.get("b", source / "back").ok
        with pytest.raises(errors.RefusedError):
            far.put(source / "a", f"{host.outside}/new")
    assert sorted(os.listdir(host.escp.home / "in")) == ["a", "b"]


@pytest.mark.parametrize("words", [("--restrict", "{reached}"), ("--read-only",), ("--write-only",)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda far, path: far.read(path),
        lambda far, path: far.list(path),
        lambda far, path: far.stat(path),
        lambda far, path: far.digest(path),
        lambda far, path: far.mkdir(path),
        lambda far, path: far.remove(path, recursive=True),
        lambda far, path: far.rename(path, path + "2"),
        lambda far, path: far.write(path, b"x"),
    ],
    ids="read list stat digest mkdir remove rename write".split(),
)
def test_questions_about_files_are_no_way_out(host, words, ask):
    """They are answered without the rules' guard: where there are rules, none is."""
    host.force(*(word.format(reached=host.reached) for word in words))
    (host.reached / "secret").write_text("x")
    with library.connect("box", **login(host.escp)) as far:
        for folder in (host.outside, host.reached):
            with pytest.raises(errors.RefusedError, match="may not ask for 'files'"):
                ask(far, f"{folder}/secret")
    assert (host.reached / "secret").read_text() == "x"


def test_a_manifest_knows_what_is_below_it_only(host, tree, folder):
    host.escp.copy("-r", "--manifest", folder / "m", tree, "box:")
    subprocess.run(["sha256sum", "--quiet", "-c", folder / "m"], cwd=host.reached, check=True)
    host.escp.copy("--check", folder / "m", "box:")
    (host.reached / "link").symlink_to(host.outside)
    (folder / "m").write_text(f"{'0' * 64}  link/secret\n{'0' * 64}  {host.outside.name}/secret\n")
    done = host.escp.run("--check", folder / "m", "box:")
    assert done.code == 1 and "unreadable  link/secret: permission denied" in done.out
    done = host.escp.run("--check", folder / "m", f"box:{host.outside.parent}")
    assert done.code == 1 and f"unreadable  {host.outside.name}/secret: permission denied" in done.out
    assert "unreadable  .: permission denied" in done.out  # nothing is listed
