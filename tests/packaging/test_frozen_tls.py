"""Logins by TLS with the frozen tree, which packages hold; the one file says that it has none."""

import os
import pwd
import signal
import subprocess
import time
from configparser import ConfigParser
from pathlib import Path

from tests.support.command import ROOT, needs_root
from tests.support.configuration import copy_environment
from tests.support.ports import Ports

UNITS = ROOT / "packaging" / "systemd"


def run(*words: object) -> subprocess.CompletedProcess:
    command = list(map(str, words))
    return subprocess.run(
        command, env=copy_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@needs_root
def test_tree_makes_certificates_and_lets_users_in(installed_tree, folder, source):
    escp = installed_tree / "bin" / "escp"
    account = pwd.getpwnam("nobody")
    there = folder / "there"
    there.mkdir()
    os.chown(there, account.pw_uid, account.pw_gid)
    (source / "file").write_text("x")
    for words in (["--make-ca", "ca"], ["--make-cert", "ca", "host", "IP:127.0.0.1"],
                  ["--make-cert", "ca", "user", "URI:escp:alice"]):  # fmt: skip
        done = run(escp, *(folder / one if one in ("ca", "host", "user") else one for one in words))
        assert done.returncode == 0, done
    (folder / "host" / "users").write_text("URI:escp:alice nobody\n")
    ports = Ports()
    command = [escp, "--tls-dir", folder / "host", "--listen", f"127.0.0.1:{ports.first}"]
    daemon = subprocess.Popen(
        list(map(str, command)), env=copy_environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        assert "listening" in daemon.stderr.readline()
        target = f"tls://127.0.0.1:{ports.first}/{there}"
        done = run(escp, "--tls-dir", folder / "user", source / "file", target)
        assert done.returncode == 0, done
        assert (there / "file").stat().st_uid == account.pw_uid
        end_s = time.monotonic() + 10
        while Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text():
            assert time.monotonic() < end_s
            time.sleep(0.05)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(15)
        daemon.stderr.close()
        ports.close()


def test_one_file_says_that_it_is_without(one_file, folder):
    for words in (["--make-ca", folder / "ca"], ["--listen"]):
        done = run(one_file, *words)
        assert done.returncode == 2 and "can't log in by TLS" in done.stderr, done
    done = run(one_file, "-r", folder, "tls://localhost/x")
    assert done.returncode in (2, 10) and "can't log in by TLS" in done.stderr, done


def test_units_name_what_is_there():
    units = {path.name: ConfigParser(interpolation=None, strict=False) for path in UNITS.iterdir()}
    for name, unit in units.items():
        unit.optionxform = str
        unit.read(UNITS / name)
    assert set(units) == {"escp.service", "escp.socket"}
    assert units["escp.service"]["Service"]["ExecStart"] == "/usr/bin/escp --listen"
    assert units["escp.socket"]["Socket"]["ListenStream"] == "1231"
    capabilities = units["escp.service"]["Service"]["CapabilityBoundingSet"].split()
    assert set(capabilities) == {"CAP_SETUID", "CAP_SETGID", "CAP_KILL"}
