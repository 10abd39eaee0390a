"""What an agent loads of what its host's configuration needs."""

import os
import subprocess
import sys

CODE = (
    "import sys; sys.argv = ['escp', '--server']; from escp.cli.main import main; main();"
    "print('argparse' in sys.modules, 'yaml' in sys.modules, file=sys.stderr)"
)


def run(configuration: str) -> str:
    env = {**os.environ, "ESCP_CONFIG": configuration}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=env, stdin=subprocess.PIPE, capture_output=True, timeout=60
    )
    return done.stderr.decode().strip()


def test_an_agent_loads_neither_argparse_nor_yaml(tmp_path):
    path = tmp_path / "escp.conf"
    path.write_text("bits: true\n")
    path.chmod(0o600)
    assert run("") == "False False"
    assert run(str(path)) == "False True"
