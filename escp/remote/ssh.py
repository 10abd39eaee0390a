"""Starts the agent: through the system's ssh, or directly on this host. Nothing secret passes through here.

ssh keeps the terminal for its questions; its stderr comes to us (`remotewords`), because the other host
writes there as well, and the agent's stdin and stdout become the control channel.
"""

import os

from escp.constants import (
    EMBEDDED,
    SERVER,
    SSH_ALIVE_COUNT,
    SSH_ALIVE_S,
    SSH_CONNECT_TIMEOUT_S,
    TLS_LOGIN,
    TLS_PORT,
)
from escp.errors import UsageError
from escp.options.location import Location
from escp.options.options import Options
from escp.options.parser import DEFAULT_COMMAND
from escp.process.environment import child_environment, is_frozen, own_command
from escp.remote.child import AgentProcess, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def _ssh_words(options: Options, location: Location) -> list[str]:
    """ssh and its arguments in front of `-- destination`."""
    port = location.port or options.ssh_port  # scp: the port in a URI wins
    return [options.ssh_program, *options.ssh_args, *(() if port is None else ("-p", str(port)))]


def start_agent(options: Options, location: Location) -> AgentProcess:
    """Start the agent on the location's host.

    Raises SshError when ssh itself can't be started, UsageError when there is no tree that could be pushed.
    """
    options = options.for_host(location)
    host = location.host or ""
    if options.is_embedded:
        return spawn([*own_command(), SERVER, EMBEDDED], host, is_embedded=True)
    if location.is_tls:
        return spawn(_tls_command(options, location), host, is_tls=True)
    if not options.pushes_agent:
        command = _log_in_command(options, location, _plain_command(options, location))
        return spawn(command, host, can_push=is_frozen() or options.agent_tree is not None)
    # Lazy: most hosts have escp.
    from escp.remote.push.script import find_command
    from escp.remote.push.tree import find_tree

    tree = find_tree(options.agent_tree)
    if tree is None:
        raise UsageError(
            "option --push-agent: this escp runs from source, which can't be sent to another host",
            "freeze it (`build.py freeze`) and run that, or name it with --agent-tree dist/escp",
        )
    command = _log_in_command(options, location, find_command(tree.identity))
    return spawn(command, host, is_escp=False, tree=tree)


def _tls_command(options: Options, location: Location) -> list[str]:
    """What logs in by TLS: no secret is among its words. It looks for its default folder itself."""
    again_s = 0 if options.tunnel == "always" else options.reconnect_s
    return [
        *own_command(), TLS_LOGIN, location.host or "", str(location.port or TLS_PORT),
        options.tls_folder or "", str(again_s), str(options.address_family or 0),
    ]  # fmt: skip


def _plain_command(options: Options, location: Location) -> str:
    """What starts an escp there that is not sent along now; it may have been, earlier."""
    if options.agent_command == DEFAULT_COMMAND:
        from escp.remote.push.memory import recall  # lazy: with -D nobody asks

        if identity := recall(location):
            from escp.remote.push.script import find_either_command  # lazy: most hosts have escp

            return find_either_command(identity)
    return f"{options.agent_command} {SERVER}"


def start_command(options: Options, location: Location, remote_command: str) -> AgentProcess:
    """Run *remote_command* in the location's shell; *options* are already that host's. Raises SshError."""
    return spawn(_log_in_command(options, location, remote_command), location.host or "", is_escp=False)


def _log_in_command(options: Options, location: Location, remote_command: str) -> list[str]:
    return [
        *_ssh_words(options, location),
        f"-oConnectTimeout={SSH_CONNECT_TIMEOUT_S}",  # the user's own -o comes first and wins
        *_alive_words(options, location),
        "--",
        location.ssh_destination(),
        remote_command,
    ]


def _alive_words(options: Options, location: Location) -> list[str]:
    """Arguments that make ssh notice a lost network, unless the user's configuration does.

    It takes two minutes: streams that are cut must have been given up before. Our arguments would count
    before the user's configuration, so that is looked at first; ssh itself is asked only if it includes other
    files.
    """
    found = find_setting(options.ssh_args, "serveraliveinterval")
    if found is None:
        found = _ask_ssh(options, location).get("serveraliveinterval", "0") != "0"
    if found:
        return []
    again_s = 0 if options.tunnel == "always" else options.reconnect_s
    n = max(SSH_ALIVE_COUNT, again_s // SSH_ALIVE_S + 1)
    return [f"-oServerAliveInterval={SSH_ALIVE_S}", f"-oServerAliveCountMax={n}"]


def find_setting(ssh_args: "Sequence[str]", key: str) -> bool | None:
    """Whether ssh's configuration names *key* (in lower case) anywhere; None: it includes other files."""
    named = [ssh_args[i + 1] for i, word in enumerate(ssh_args[:-1]) if word == "-F"]
    folder = "/etc/ssh/ssh_config.d"
    paths = named[-1:] or [os.path.expanduser("~/.ssh/config"), "/etc/ssh/ssh_config"]
    includes = False
    while paths:
        path = paths.pop()
        try:
            with open(path, errors="replace") as file:
                lines = [line.replace("=", " ").split() for line in file]
        except (OSError, ValueError):
            continue  # ssh itself will complain
        for words in lines:
            if words and words[0].lower() == key:
                return True
            if words and words[0].lower() == "include":
                if words[1:] == [f"{folder}/*.conf"] and os.path.isdir(folder):
                    paths += [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".conf")]
                else:
                    includes = True
    return None if includes else False


def configured_host_name(options: Options, location: Location) -> str:
    """The HostName that ssh's configuration gives for the location."""
    return _ask_ssh(options.for_host(location), location).get("hostname", location.host or "")


def _ask_ssh(options: Options, location: Location) -> dict[str, str]:
    """What ssh's configuration comes to for the location: asks ssh itself, which does not connect for that.

    Its complaints are dropped here, as it repeats them when it logs in.
    """
    read_fd, child_out = os.pipe2(os.O_CLOEXEC)
    command = [*_ssh_words(options, location), "-G", "--", location.ssh_destination()]
    silence = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    try:
        pid = os.posix_spawnp(command[0], command, child_environment(),
                              file_actions=[(os.POSIX_SPAWN_DUP2, child_out, 1), silence])  # fmt: skip
    except OSError:
        os.close(read_fd)
        return {}
    finally:
        os.close(child_out)
    with os.fdopen(read_fd, "rb") as pipe:
        lines = pipe.read().decode(errors="replace").splitlines()
    os.waitpid(pid, 0)
    return {key: value for key, _, value in (line.partition(" ") for line in reversed(lines))}
