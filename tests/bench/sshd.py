"""An sshd of our own on a loopback port, with its own keys and configuration; the user's are not read."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

START_TIMEOUT_S = 15
SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)

# SHLVL=2 keeps Debian's bash from reading ~/.bashrc for each command (0.07 s here, and what it prints);
# ESCP_CONFIG keeps the agent from the user's configuration.
SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel ERROR
Subsystem sftp {sftp}
SetEnv SHLVL=2 ESCP_CONFIG=
"""

CLIENT = """\
Host lo
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  ControlMaster no
  ControlPath none
  BatchMode yes
  LogLevel ERROR
"""


class NoSshd(Exception):
    """sshd is not there or does not start; the message says so to the user."""


class Sshd:
    """Runs until `close`. `client_config` is for -F; the host is called `lo` there."""

    def __init__(self, folder: Path):
        program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not program or not shutil.which("ssh-keygen"):
            raise NoSshd("there is no sshd: install openssh-server")
        folder.mkdir(mode=0o700)
        self.client_config = folder / "ssh_config"
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", folder / key], check=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        sftp = next((path for path in SFTP_SERVERS if os.access(path, os.X_OK)), "internal-sftp")
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
        fields = {"folder": folder, "port": port, "sftp": sftp, "user": getpass.getuser()}
        (folder / "sshd_config").write_text(SERVER.format(**fields))
        self.client_config.write_text(CLIENT.format(**fields))
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # its separated child is locked up there
        self._log = folder / "sshd.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", folder / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is ours to handle: the runs are ended first
            )
        self.pid = self._process.pid
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            done = subprocess.run(
                ["ssh", "-F", self.client_config, "lo", "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                return
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self._log.read_text() + done.stderr).strip() or "it said nothing"
                raise NoSshd(f"the bench's own sshd does not answer: {said[-500:]}")
            time.sleep(0.1)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
