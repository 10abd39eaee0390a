"""Ctrl-C while escp is still being loaded ends it as SIGTERM does: without a word."""

import signal
import subprocess
import sys

import pytest

from tests.support.command import ROOT

PROGRAM = """
import os, sys

module, number = sys.argv[1:3]
del sys.argv[1:3]

class Killer:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Killer())
from escp.__main__ import run
run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("module", "words"),
    [("escp.cli.main", ["a", "b"]), ("escp.options.options", ["a", "b"]), ("escp.cli.pages", ["--version"]),
     ("escp.agent.agent", ["--server"])],
)  # fmt: skip
def test_signal_while_modules_are_loaded(module, words, number):
    done = subprocess.run([sys.executable, "-c", PROGRAM, module, str(int(number)), *words], cwd=ROOT,
                          input=b"", capture_output=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (-number, b"")
