"""The units of `escp --listen`, as systemd itself reads them."""

import re
import shutil
import subprocess

import pytest

from tests.support.command import ROOT

UNITS = ROOT / "packaging" / "systemd"


@pytest.fixture
def units(tmp_path):
    """Copies whose program is there: systemd looks for it."""
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/bin/escp", shutil.which("true")))
    return tmp_path


def verify(units):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    command = ["systemd-analyze", "verify", "--man=no", *sorted(units.iterdir())]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_all_of_them(units):
    done = verify(units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_line_that_it_does_not_understand_is_found(units):
    path = units / "escp.service"
    path.write_text(re.sub("^KillMode=.*$", "KillModes=mixed", path.read_text(), flags=re.M))
    assert "KillModes" in verify(units).stderr
