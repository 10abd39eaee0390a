"""The account that a session runs as: found, and become for good."""

import os
import pwd

from escp.errors import RefusedError, describe_errno
from escp.process.limits import forbid_dumps
from escp.tls.keyfiles import TlsError

_HINT = "ask the administrator of that host"
PATH = "/usr/local/bin:/usr/bin:/bin"


def find_account(name: str) -> pwd.struct_passwd:
    """Raises TlsError for one that is not there, is root's, or that this process can't become."""
    try:
        found = pwd.getpwnam(name)
    except KeyError as e:
        raise TlsError(f"there is no account '{name}' on that host", _HINT) from e
    if os.geteuid() != 0:
        if found.pw_uid != os.geteuid():
            raise TlsError(f"its escp runs as one user only, which is not '{name}'", _HINT)
    elif found.pw_uid == 0:
        raise TlsError("its escp lets nobody in as root", _HINT)
    return found


def become(account: pwd.struct_passwd) -> None:
    """Of root: be *account*, and nothing else any more. Raises RefusedError where a trace of root is left."""
    name, uid, gid = account.pw_name, account.pw_uid, account.pw_gid
    try:
        groups = set(os.getgrouplist(name, gid))
        os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as e:
        raise RefusedError(f"its escp can't become '{name}': {describe_errno(e.errno or 0)}", _HINT) from e
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or set(os.getgroups()) != groups:
        raise RefusedError(f"its escp has not become '{name}'", _HINT)
    try:
        os.setuid(0)
    except PermissionError:
        forbid_dumps()  # the host's key was in this process: the account must not look into it
        return
    raise RefusedError(f"its escp could be root again after becoming '{name}'", _HINT)


def make_environment(account: pwd.struct_passwd, connection: str) -> dict[str, str]:
    """Of the agent: nothing of the daemon's. *connection*: as sshd tells it in SSH_CONNECTION."""
    made = {
        "HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh", "PATH": PATH, "LANG": "C.UTF-8",
        "SSH_CONNECTION": connection,
    }  # fmt: skip
    if "PYTHONPATH" in os.environ:  # from source: where this very escp is
        made["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return made
