"""What this host's administrator lets a session do (`options/rules`), and who says so where it does not.

An order is looked at before anything is done with it: `admit`. Paths are held by the kernel's word for each
file that is opened (`_fast/files/guard`), counts of files, bytes and deletions by the planes, the time here.
"""

import os
import sys

from escp.control.deletion import Compare, Compared, Inventory, Prune
from escp.control.messages import (
    Accept,
    Allow,
    Bye,
    Examine,
    Expect,
    Hello,
    Link,
    Message,
    Receive,
    Relay,
    Send,
    Sources,
    Tunnel,
)
from escp.control.survey import Find, Measure
from escp.errors import RefusedError, describe_errno, describe_plan
from escp.failures import FAST_FORBIDDEN, Failure
from escp.options.configfile import SYSTEM_FILE
from escp.options.rules import READ_ONLY, RESTRICT, WRITE_ONLY, Rules
from escp.streams.addresses import is_address, is_own_address
from escp.streams.guard import confine, forbid_reading, set_ceilings

# By where of FAST_FORBIDDEN: the key, and what it is of, one and several.
_CEILINGS = {
    "files": ("max-files", "file, directory or link", "files, directories and links"),
    "bytes": ("max-bytes", "byte", "bytes"),
    "deletions": ("max-delete", "deletion", "deletions"),
}
_KNOWN = (
    Accept, Allow, Bye, Compare, Examine, Expect, Find, Hello, Inventory, Link, Measure, Prune, Receive,
    Relay, Send, Sources, Tunnel,
)  # fmt: skip
_HINT = "ask the administrator of that host"
_MANY_HINT = "copy less at a time, or ask the administrator of that host"
_DELETION_HINT = "look at them with --dry-run; if they may go, ask the administrator of that host"
_PATIENCE_S = 10.0  # with a sender that keeps to no limit
_SLACK = 1.5


class Site:
    """The rules, in force from here on. To be made before there are threads of planes."""

    def __init__(self, rules: Rules, now: float):
        self._rules = rules
        self._due_s = now + rules.max_time_s if rules.max_time_s is not None else float("inf")
        self._first = (0, 0.0)  # bytes, and when: of a receiver that has a limit
        set_ceilings(rules.max_files, rules.max_bytes, rules.max_deletions)
        if rules.is_write_only:
            forbid_reading()
        if rules.is_confining:
            self._confine()

    def _confine(self) -> None:
        rules = self._rules
        confine(_narrow(rules), _protected(rules), self._who)

    @property
    def _who(self) -> str:
        """Confines the login, for people."""
        keys = [
            key for key in (RESTRICT, "allow", "deny", READ_ONLY, WRITE_ONLY) if key in self._rules.origins
        ]
        return self._rules.who(keys[0])

    def _enter(self) -> None:
        """Relative paths and ~ begin in the directory that is allowed.

        Not before the order: an agent that carries others starts them where it was started itself.
        """
        rules = self._rules
        if not rules.restrict:
            return
        home = rules.restrict[-1]
        try:
            os.chdir(home)
        except OSError as e:
            raise RefusedError(
                f"'{home}', to which {rules.who(RESTRICT)} restricts this login, can't be used: "
                f"{describe_errno(e.errno or 0)}", _HINT,
            ) from e  # fmt: skip
        os.environ["XDG_STATE_HOME"] = os.path.dirname(_state_folder())
        os.environ["HOME"] = home

    # ---- Orders ---------------------------------------------------------------------------------------

    def admit(self, message: Message) -> Message:
        """The message, as far as it goes here. Raises RefusedError."""
        rules = self._rules
        if not isinstance(message, _KNOWN):
            name = type(message).__name__.lower()
            raise RefusedError(
                f"this login may not ask for '{name}': rules of its host know no such order", _HINT
            )
        if isinstance(message, Receive | Send | Measure | Find):
            self._enter()
        if isinstance(message, Measure | Find) and rules.is_write_only:
            raise self._refuse(WRITE_ONLY, "options --manifest and --check: nothing may be read here")
        if isinstance(message, Receive):
            if rules.is_read_only:
                raise self._refuse(READ_ONLY, "nothing may be written here")
            if rules.is_write_only and (option := _find_reader(message)):
                what = f"{option}: nothing may be read here, and digests tell contents"
                raise self._refuse(WRITE_ONLY, what, "leave the option out")
            if message.keeps_owner and not rules.takes_owner:
                raise self._refuse("owner", "option --owner: owners are not taken", "leave the option out")
            if message.keeps_devices and not rules.takes_devices:
                raise self._refuse(
                    "devices", "option --devices: no devices are taken", "leave the option out"
                )
            return message._replace(keeps_owner_if_root=message.keeps_owner_if_root and rules.takes_owner)
        if isinstance(message, Send):
            if rules.is_write_only:
                raise self._refuse(WRITE_ONLY, "nothing may be read here")
            if rules.is_read_only and message.removes_sources:
                raise self._refuse(READ_ONLY, "option --remove-source-files: nothing may be removed here",
                                   "leave the option out")  # fmt: skip
        if isinstance(message, Examine) and rules.is_confining:
            raise RefusedError("this login only copies: its host tells the doctor nothing", _HINT)
        if isinstance(message, Link):
            return self._suit_link(message)
        return message

    def _suit_link(self, link: Link) -> Link:
        rules = self._rules
        if limit := rules.limit_bytes_per_s:
            link = link._replace(limit_bytes_per_s=min(link.limit_bytes_per_s or limit, limit))
        if link.mode == "listen" and (rules.first_port is not None or rules.n_more_ports is not None):
            first = link.port if rules.first_port is None else rules.first_port
            n = link.n_ports if rules.n_more_ports is None else rules.n_more_ports + 1
            link = link._replace(port=first, n_ports=min(n, 65536 - first))
        return link

    def check_way(self, link: Link, peer_address: str) -> None:
        """Raises RefusedError for one that leads to services of this host which listen for it alone.

        *peer_address*: from which the login came; its user reaches that himself.
        """
        if link.mode != "connect" or not self._rules.is_confining:
            return
        for address in link.addresses:
            if address != peer_address and is_address(address) and is_own_address(address):
                raise RefusedError(
                    f"data may not go to {address}, which is an address of this host: {self._who} forbids it",
                    "between two hosts use -3 in place of -R",
                )

    @property
    def limit_bytes_per_s(self) -> int:
        """Of what comes in here, to be told to who sends it; 0: none."""
        return self._rules.limit_bytes_per_s or 0

    def _refuse(self, key: str, what: str, hint: str = _HINT) -> RefusedError:
        return RefusedError(f"{what}: {self._rules.who(key)} forbids it", hint)

    # ---- What goes on ---------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Raises RefusedError when the session has taken too long."""
        if now > self._due_s:
            raise RefusedError(
                f"the time is over that {self._rules.who('max-time')} gives a session: "
                f"{self._rules.max_time_s} s", _MANY_HINT,
            )  # fmt: skip

    def check_rate(self, now: float, n_bytes: int) -> None:
        """Of a receiver: whether who sends keeps to the limit that it was told. Raises RefusedError."""
        if not self._rules.limit_bytes_per_s or not n_bytes:
            return
        if not self._first[1]:
            self._first = n_bytes, now
        elapsed = now - self._first[1]
        may = _SLACK * self._rules.limit_bytes_per_s * elapsed
        if elapsed > _PATIENCE_S and n_bytes - self._first[0] > may:
            raise RefusedError(
                f"more comes in than {self._rules.who('limit')} allows: "
                f"{self._rules.limit_bytes_per_s:,} bytes/s", "use the same release of escp on both hosts",
            )  # fmt: skip

    def check_failure(self, failure: Failure) -> None:
        """Raises RefusedError for a file that is one too many: the session ends there."""
        if failure.code == FAST_FORBIDDEN and failure.where in _CEILINGS:
            key, one, several = _CEILINGS[failure.where]
            n = {"files": self._rules.max_files, "bytes": self._rules.max_bytes}.get(
                failure.where, self._rules.max_deletions
            )
            what = f"{n or 0:,} {one if n == 1 else several}"
            raise RefusedError(
                f"this is more than {self._rules.who(key)} lets a session have: {what}", _MANY_HINT
            )

    def check_deletions(self, compared: Compared) -> None:
        """Raises RefusedError for a plan that is too large: then nothing is removed."""
        most = self._rules.max_deletions
        if most is not None and compared.n_planned > most:
            raise RefusedError(
                f"{describe_plan(compared.n_planned)}, and {self._rules.who('max-delete')} allows {most:,}",
                _DELETION_HINT,
            )


def _find_reader(order: Receive) -> str:
    """The option with which a receiver answers digests of what it has already; "" where there is none."""
    if order.compares_digests:
        return "option --checksum"
    return "options --itemize and --dry-run" if order.itemizes and order.is_dry_run else ""


def _is_below(path: str, top: str) -> bool:
    return top == "/" or path == top or path.startswith(top + "/")


def _narrow(rules: Rules) -> list[str]:
    """What may be reached: below all of `restrict`, and below one of `allow` if there are any."""
    found = ["/"]
    for group in (*((one,) for one in rules.restrict), *((rules.allow,) if rules.allow else ())):
        found = [
            one if _is_below(one, other) else other
            for one in found for other in group if _is_below(one, other) or _is_below(other, one)
        ]  # fmt: skip
    return found


def _state_folder() -> str:
    from escp.streams.record import find_folder  # lazy: it needs the home directory as it was

    return find_folder()


def _protected(rules: Rules) -> list[str]:
    """What nobody who is confined reaches: what would set him free, and what belongs to other copies."""
    from pwd import getpwuid  # not at the top: only some agents are confined

    home = os.path.expanduser("~")
    homes = [home, getpwuid(os.geteuid()).pw_dir]
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    places = [
        *rules.deny, SYSTEM_FILE, "/etc/escp", os.path.join(config, "escp.conf"), os.path.join(cache, "escp"),
        _state_folder(), *(os.path.join(one, name) for one in homes for name in _OF_A_LOGIN),
    ]  # fmt: skip
    programs = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(sys.executable)]
    programs += [*sys.path, *os.environ.get("PATH", "").split(":")]
    tops = [*rules.restrict, *rules.allow, *homes, os.getcwd()]
    for place in programs:
        if not any(_is_below(top, os.path.realpath(place)) for top in tops):
            places.append(place)
    found = [one for place in places for one in (place, os.path.realpath(place))]
    return [place for place in dict.fromkeys(found) if place.startswith("/") and place != "/"]


# What sshd reads, and the shell that it starts, forced command or not; keys of logins by TLS.
_OF_A_LOGIN = (
    ".ssh", ".config/escp.conf", ".config/escp", "bin", ".local/bin", ".local/lib",
    ".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshenv", ".zshrc", ".zprofile", ".zlogin",
    ".cshrc", ".tcshrc", ".login", ".kshrc", ".rhosts", ".shosts", ".pam_environment", ".config/fish",
)  # fmt: skip
