"""Errors that once named another cause than theirs."""

import subprocess

import pytest

from tests.support.command import local, needs_root, remote
from tests.support.trees import list_tree, write_random


@pytest.fixture
def file(source):
    write_random(source / "a", 1000)
    return source / "a"


# ---- ssh --------------------------------------------------------------------------------------------


def test_ssh_that_starts_nothing(escp, file, target):
    done = escp.fail(10, "-o", "SessionType=none", file, remote(target))
    assert done.error == "ssh to box started no escp there, and does not end"
    assert "SessionType" in done.hint


def test_ssh_without_input(escp, file, target):
    done = escp.fail(13, "-o", "StdinNull=yes", file, remote(target))
    assert "StdinNull" in done.hint


@pytest.mark.parametrize(
    ("line", "how"),
    [("kill -9 $$", "ended before"), ("echo noise; kill -9 $$", "ended before"),
     ("sh -c 'kill -9 $$'; exit $?", "ended by signal 9 before")],
)  # fmt: skip
def test_agent_that_is_killed_before_its_marker(escp, file, target, line, how):
    agent = escp.write_agent("killed", command=line)
    done = escp.fail(11, file, remote(target), agent=agent)
    assert f"what ssh started on box was {how} an escp answered" in done.error and "log in" not in done.error


@pytest.mark.parametrize("flags", [("-B",), ("-B", "-q")])
def test_refused_login_is_still_one(escp, file, target, flags):
    done = escp.fail(10, *flags, file, b"no-such-user@" + remote(target))
    assert done.error.startswith("ssh could not log in to box")


def test_data_host_that_no_name_server_knows(escp, file, target):
    done = escp.fail(13, "--data-host", "no-such-host.invalid", file, remote(target))
    assert "--data-host" in done.error and "port" not in done.hint and "look up" in done.hint


# ---- Targets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["local", "push", "pull"])
@pytest.mark.parametrize(
    ("name", "which"),
    [("gone", "it is"), ("gone/", "it is"), ("deep", "it is"), ("deep/x", "'PATH/deep' is")],
)
def test_link_that_leads_nowhere(escp, source, file, target, way, name, which):
    (target / "gone").symlink_to("nowhere")
    (target / "deep").symlink_to("nowhere/x")
    at = f"{target}/{name}"
    words = {"local": (file, at), "push": (file, local(at)), "pull": (local(file), at)}[way]
    done = escp.fail(15 if way == "push" else 14, *words, is_embedded=way != "local")
    assert (
        f"can't write to '{at}': {which.replace('PATH', str(target))} a link that leads nowhere" in done.error
    )
    assert "remove the link" in done.hint
    assert sorted(list_tree(target)) == [b"deep", b"gone"]


@needs_root
@pytest.mark.parametrize("is_embedded", [False, True])
def test_read_only_target(escp, file, target, is_embedded):
    subprocess.run(["mount", "-t", "tmpfs", "none", target], check=True)
    try:
        (target / "sub").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", target], check=True)
        there = local(target) if is_embedded else target
        done = escp.fail(15 if is_embedded else 14, file, there, is_embedded=is_embedded)
        assert "read-only file system" in done.error
        assert "room" not in done.hint and "read-only" in done.hint
    finally:
        subprocess.run(["umount", target], check=True)


# ---- Lists and configurations -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "part"), [(b"%s\r\n", "carriage returns"), (b"\xef\xbb\xbf%s\n", "byte order mark")]
)
@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_list_from_windows(escp, source, file, target, folder, way, data, part):
    name = local(file) if way == "pull" else bytes(file)
    (folder / "list").write_bytes(data % name)
    there = local(target) if way == "push" else target
    if way == "pull" and part == "byte order mark":
        pytest.skip("no host has such a name: that is another error")
    done = escp.run("--filelist", folder / "list", there, is_embedded=way != "local")
    assert done.code == 1 and part in done.error and "dos2unix" in done.error


@pytest.mark.parametrize("start", ["# ", ";"])
@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_list_with_a_comment(escp, source, file, target, folder, way, start):
    """rsync skips such lines; here they are names, and a name may begin so."""
    name = local(file) if way == "pull" else bytes(file)
    (folder / "list").write_bytes(b"%swhat\n%s\n" % (start.encode(), name))
    there = local(target) if way == "push" else target
    done = escp.run("--filelist", folder / "list", there, is_embedded=way != "local")
    assert done.code == 1 and "a list of names has no comments" in done.error
    assert [path.name for path in target.iterdir()] == [file.name]


def test_list_with_a_real_carriage_return(escp, source, target, folder):
    write_random(source / "a\r", 10)
    (folder / "list").write_bytes(bytes(source / "a\r") + b"\n")
    escp.copy("--filelist", folder / "list", target)
    assert list_tree(target) == list_tree(source)


@pytest.mark.parametrize("bom", [b"\xff\xfe", b"\xfe\xff"])
def test_list_in_utf_16(escp, target, folder, bom):
    (folder / "list").write_bytes(bom + "a\n".encode("utf-16-le"))
    done = escp.fail(2, "--filelist", folder / "list", target)
    assert "UTF-16" in done.hint


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"hosts:\n\tdtn:\n", "tabs"),
        (b"\tparallel: 3\n", "tabs"),
        ("parallel: 3\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_configuration_from_elsewhere(escp, file, target, folder, data, part):
    (folder / "conf").write_bytes(data)
    done = escp.fail(2, file, target, env={"ESCP_CONFIG": str(folder / "conf")})
    assert part in done.hint
