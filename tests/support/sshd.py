"""An sshd of the tests' own: port, keys, configuration and log lie in one folder, and it ends with it."""

import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.support.ports import Ports

HOST = "box"  # what ssh's configuration calls it: the name alone resolves to nothing
START_TIMEOUT_S = 10.0


class Sshd:
    """A running sshd on a loopback port. *prefix* starts it elsewhere, in a network namespace for example.

    *addresses*: more to listen on; *settings* and *client_settings*: lines for its and the clients' files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prefix: tuple[str, ...] = (),
        address: str = "127.0.0.1",
        addresses: tuple[str, ...] = (),
        port: int | None = None,
        settings: str = "",
        client_settings: str = "",
    ):
        self.folder = folder
        self.prefix = prefix
        self.settings = settings
        self.client_settings = client_settings
        self.address = address
        self._ports = None if port else Ports()
        self.port = port or self._ports.first
        self._addresses = (address, *addresses)
        self.client_config = folder / "ssh_config"
        self._log = folder / "sshd.log"
        self._make_keys()
        self._write_configuration()
        self._start()

    @property
    def n_logins(self) -> int:
        """Logins since the start."""
        return self._log.read_text(errors="replace").count("Accepted publickey")

    def _make_keys(self) -> None:
        for name in ("host_key", "user_key"):
            if not (self.folder / name).exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
                subprocess.run(command, check=True, timeout=20)
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")

    def _write_configuration(self) -> None:
        folder = self.folder
        listen = "\n".join(f"ListenAddress {address}" for address in self._addresses)
        (folder / "sshd_config").write_text(
            f"""\
Port {self.port}
{listen}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PrintMotd no
MaxStartups 100
LogLevel VERBOSE
# Or bash, started by sshd, reads .bashrc as if it were at a terminal.
SetEnv SHLVL=2
"""
            + self.settings
            + "\n"
        )
        self.client_config.write_text(
            f"""\
Host {HOST}
    HostName {self.address}
Host *
    Port {self.port}
    User {getpass.getuser()}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    # The default, which is safe against quantum computers, takes the client 65 ms of CPU time more.
    KexAlgorithms curve25519-sha256
"""
            + self.client_settings
            + "\n"
        )

    def _start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"  # it wants to be started by an absolute path
        command = [*self.prefix, program, "-D", "-f", f"{self.folder}/sshd_config", "-E", str(self._log)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        end_s = time.monotonic() + START_TIMEOUT_S
        while "Server listening" not in (self._log.read_text() if self._log.exists() else ""):
            if self._process.poll() is not None or time.monotonic() > end_s:
                self.stop()
                raise AssertionError(f"sshd did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._ports is not None:
            self._ports.close()
