"""The command line as one frozen record, every value checked: `parse_options()`.

It comes before ssh is started, so it imports little. What the user asked for leaves here complete and in
range or as one `UsageError`; later modules don't check again.
"""

import os
import re
from argparse import Namespace
from collections import namedtuple

from escp.constants import BLOCK_MULTIPLE_BYTES, KIB, MAX_BLOCK_BYTES, MAX_STREAMS, MIB, MIN_BLOCK_BYTES
from escp.errors import UsageError
from escp.location import NOWHERE, Location, parse_location
from escp.parser import TUNNEL_CHOICES, build_parser

MAX_PORT = 65535
MIN_LIMIT_BYTES_PER_S = 128  # scp's smallest, 1 Kbit/s: two bytes a second for each of 64 streams
MAX_LIMIT_BYTES_PER_S = 1 << 50  # far beyond any network, far below what a 64-bit pacing rate holds
ENGINES = ("posix", "dummy")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

# As scp has them: nothing of the user's ssh_config may run, forward, or send other bytes through the channel.
# They come first because the first value of an option is the one that ssh takes.
SSH_SAFETY_ARGS = (
    "-x",
    "-oPermitLocalCommand=no",
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
)


class Options(
    namedtuple(
        "Options",
        "sources target filelist is_null_separated recursive preserve compress has_checksum "
        "limit_bytes_per_s is_direct_hosts filters updates skips_unchanged compares_digests is_dry_run "
        "keeps_owner has_numeric_ids keeps_xattrs keeps_acls keeps_links keeps_hard_links is_sparse "
        "keeps_devices data_host bind_address is_reverse tunnel "
        "n_streams block_bytes port n_ports is_direct send_engine receive_engine cpumask nodemask "
        "agent_command is_embedded is_server ssh_program ssh_args ssh_port batch address_family "
        "is_quiet verbosity json shows_bits logfile shows_help shows_version shows_licence",
    )
):
    """What the user asked for. With `is_server` or one of `shows_…` there are no sources and no target."""

    # namedtuple, because the import of typing or dataclasses takes 4 and 10 ms before ssh can start.
    __slots__ = ()
    sources: tuple[Location, ...]  # those of the command line; a file list may add more
    target: Location
    filelist: str | None  # a path, or - for standard input
    is_null_separated: bool
    recursive: bool
    preserve: bool
    compress: bool
    has_checksum: bool
    limit_bytes_per_s: int | None  # of all streams together
    is_direct_hosts: bool  # -R; else -3
    filters: tuple[tuple[bool, bytes], ...]  # (is_include, pattern); the first that matches counts
    updates: bool
    skips_unchanged: bool
    compares_digests: bool
    is_dry_run: bool
    keeps_owner: bool
    has_numeric_ids: bool
    keeps_xattrs: bool
    keeps_acls: bool
    keeps_links: bool
    keeps_hard_links: bool
    is_sparse: bool
    keeps_devices: bool
    data_host: str | None
    bind_address: str | None  # numeric
    is_reverse: bool
    tunnel: str  # one of parser.TUNNEL_CHOICES
    n_streams: int
    block_bytes: int
    port: int  # first port of the data streams
    n_ports: int  # that one and those after it
    is_direct: bool  # O_DIRECT
    send_engine: str
    receive_engine: str
    cpumask: int | None  # bits
    nodemask: int | None
    agent_command: str  # for the remote shell, as it is
    is_embedded: bool
    is_server: bool
    ssh_program: str
    ssh_args: tuple[str, ...]  # all but the port, the destination and the command
    ssh_port: int | None  # unless a location names another
    batch: bool
    address_family: int | None  # socket.AF_INET or AF_INET6 when only that may be used
    is_quiet: bool
    verbosity: int
    json: bool
    shows_bits: bool
    logfile: str | None  # a path or LOCAL0 to LOCAL7
    shows_help: bool
    shows_version: bool
    shows_licence: bool

    @property
    def selection(self) -> str:
        """Which files are sent, for the planes: "all", "changed" or "newer"."""
        if self.skips_unchanged or self.compares_digests:
            return "changed"
        return "newer" if self.updates else "all"


def parse_options(argv: list[str]) -> Options:
    """Parse and check the command line without the program's name. Raises UsageError."""
    args = build_parser().parse_command(argv)
    sources: tuple[Location, ...] = ()
    target = NOWHERE
    if not (args.server or args.shows_help or args.shows_version or args.shows_licence):
        sources, target = _parse_operands(args)
    port = _parse_count(args.port, "--escp_port", 1, MAX_PORT)
    n_more_ports = _parse_count(args.port_range, "--escp_portrange", 0, MAX_PORT - port)
    send_engine, receive_engine = _parse_engines(args.ioengine)
    if args.has_numeric_ids and not args.keeps_owner:
        raise UsageError("option --numeric-ids: there is no --owner", "write both")
    return Options(
        sources=sources,
        target=target,
        filelist=args.filelist,
        is_null_separated=args.is_null_separated,
        recursive=args.recursive,
        preserve=args.preserve,
        compress=args.compress,
        has_checksum=not args.nochecksum,
        limit_bytes_per_s=None if args.limit is None else parse_rate(args.limit),
        is_direct_hosts=args.is_direct_hosts,
        filters=tuple((is_include, _check_pattern(pattern)) for is_include, pattern in args.filters),
        updates=args.updates,
        skips_unchanged=args.skips_unchanged,
        compares_digests=args.compares_digests,
        is_dry_run=args.is_dry_run,
        keeps_owner=args.keeps_owner,
        has_numeric_ids=args.has_numeric_ids,
        keeps_xattrs=args.keeps_xattrs,
        keeps_acls=args.keeps_acls,
        keeps_links=args.keeps_links,
        keeps_hard_links=args.keeps_hard_links,
        is_sparse=args.is_sparse,
        keeps_devices=args.keeps_devices,
        data_host=args.data_host,
        bind_address=_check_address(args.bind_address),
        is_reverse=args.is_reverse,
        tunnel=_check_choice("--tunnel", args.tunnel, TUNNEL_CHOICES),
        n_streams=_parse_count(args.n_streams, "--parallel", 1, MAX_STREAMS),
        block_bytes=_parse_block(args.blocksize),
        port=port,
        n_ports=1 + n_more_ports,
        is_direct=not args.nodirect,
        send_engine=send_engine,
        receive_engine=receive_engine,
        cpumask=_parse_mask(args.cpumask, "--cpumask"),
        nodemask=_parse_mask(args.nodemask, "--nodemask"),
        agent_command=args.agent_command,
        is_embedded=args.embedded,
        is_server=args.server,
        ssh_program=args.ssh_program,
        ssh_args=_build_ssh_args(args),
        ssh_port=None if args.ssh_port is None else _parse_count(args.ssh_port, "-P", 1, MAX_PORT),
        batch=args.batch,
        address_family=_find_family(args.ip_version),
        is_quiet=args.is_quiet,
        verbosity=args.verbosity,
        json=args.json,
        shows_bits=args.bits,
        logfile=_check_logfile(args.logfile),
        shows_help=args.shows_help,
        shows_version=args.shows_version,
        shows_licence=args.shows_licence,
    )


def parse_size(text: str, option: str) -> int:
    """Bytes of a size such as 1M: K, M and G are powers of 1024. Raises UsageError naming the option."""
    match = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text, re.IGNORECASE)
    if not match:
        raise UsageError(
            f"option {option}: '{text}' is no size", "write a number of bytes, or one with K, M or G"
        )
    return int(match[1]) * {"": 1, "K": KIB, "M": MIB, "G": KIB * MIB}[match[2].upper()]


def parse_rate(text: str) -> int:
    """Bytes per second of a rate: 800 (Kbit/s of 1024 bits, as scp), 100M or 100MB, 800Mbit (powers of 1000).

    The result is between 128 and 2**50. Raises UsageError.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGTkmgt]?)(B|[Bb]it|)(/s)?", text)
    if not match or (match[4] and not match[2] + match[3]):
        hint = "write 8000 (Kbit/s), 100M (bytes/s) or 800Mbit (bits/s)"
        raise UsageError(f"option -l: '{text}' is no rate", hint)
    if match[2] or match[3]:
        unit = 1 if match[3] in ("", "B") else 1 / 8
        bytes_per_s = float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " ") * unit
    else:
        bytes_per_s = float(match[1]) * 1024 / 8
    if not MIN_LIMIT_BYTES_PER_S <= bytes_per_s <= MAX_LIMIT_BYTES_PER_S:
        raise UsageError(f"option -l: '{text}' is out of range", "the least is 1 Kbit/s, written 1")
    return int(bytes_per_s)


def _parse_operands(args: Namespace) -> tuple[tuple[Location, ...], Location]:
    words = args.operands
    is_embedded, has_filelist = args.embedded, args.filelist is not None
    if len(words) < (1 if has_filelist else 2):
        raise UsageError("no target given" if words or has_filelist else "nothing to copy", _USAGE_HINT)
    *sources, target = (parse_location(os.fsencode(word)) for word in words)
    if not target.is_remote and not target.path:
        raise UsageError("the target is empty", "write . for this directory")
    if any(not source.is_remote and not source.path for source in sources):
        raise UsageError("a source is empty")
    if not target.is_remote and words[-1].startswith("-"):
        raise UsageError(
            f"the target '{words[-1]}' begins with a dash",
            f"options stand before the first source; a file of that name is written ./{words[-1]}",
        )
    if target.is_remote and any(source.is_remote for source in sources):
        if args.is_reverse:
            raise UsageError("option --reverse is not for copies between two remote hosts", "leave it out")
        if args.is_direct_hosts and args.tunnel == "always":
            raise UsageError("option -R and --tunnel=always contradict each other", "leave out one of them")
    if is_embedded:
        for location, word in zip([*sources, target], words, strict=True):
            if location.is_remote and (location.host not in LOCAL_HOSTS or location.user is not None):
                raise UsageError(
                    f"option --embedded: '{word}' is not this host", "write localhost:path, without a user"
                )
    return tuple(sources), target


_USAGE_HINT = "escp SOURCE... TARGET; each is a path or [user@]host:[path]"


def _parse_count(text: str, option: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UsageError(f"option {option}: '{text}' is not a number from {low} to {high}")
    return int(text)


def _parse_block(text: str) -> int:
    block_bytes = parse_size(text, "--blocksize")
    if block_bytes % BLOCK_MULTIPLE_BYTES or not MIN_BLOCK_BYTES <= block_bytes <= MAX_BLOCK_BYTES:
        raise UsageError(f"option --blocksize: '{text}' is not a multiple of 256K from 256K to 32M")
    return block_bytes


def _parse_engines(text: str) -> tuple[str, str]:
    sender, is_pair, receiver = text.partition("::")
    pair = (sender, receiver if is_pair else sender)
    for engine in pair:
        if engine not in ENGINES:
            raise UsageError(
                f"option --ioengine: there is no engine '{engine}'",
                f"engines are {' and '.join(ENGINES)}; SENDER::RECEIVER names one for each side",
            )
    return pair


def _parse_mask(text: str | None, option: str) -> int | None:
    """A bit mask as the original's configuration has it: hexadecimal, with or without 0x."""
    if text is None:
        return None
    if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,256}", text) or not int(text, 16):
        raise UsageError(f"option {option}: '{text}' is no mask", "write hexadecimal digits: F is 0 to 3")
    return int(text, 16)


def _check_pattern(pattern: str) -> bytes:
    if not pattern.strip("/"):
        raise UsageError("option --exclude: a pattern is empty")
    return os.fsencode(pattern)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"option {option}: '{value}' is none of {', '.join(choices)}")
    return value


def _check_address(text: str | None) -> str | None:
    if text is not None:
        import ipaddress  # not at the top: few need it

        try:
            ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            raise UsageError(f"option --bind: '{text}' is no address", "write it in numbers") from None
    return text


def _check_logfile(text: str | None) -> str | None:
    if text and re.fullmatch(r"LOCAL[0-9]+", text) and not is_facility(text):
        raise UsageError(
            f"option --logfile: there is no syslog facility '{text}'", "they are LOCAL0 to LOCAL7"
        )
    return text


def is_facility(logfile: str) -> bool:
    """Whether a value of --logfile names a syslog facility, not a file."""
    return re.fullmatch(r"LOCAL[0-7]", logfile) is not None


def _find_family(ip_version: int | None) -> int | None:
    if ip_version is None:
        return None
    import socket  # lazy: 4 ms, and most runs don't need it before ssh is started

    return int(socket.AF_INET if ip_version == 4 else socket.AF_INET6)


def _build_ssh_args(args: Namespace) -> tuple[str, ...]:
    """ssh's arguments in front of `-p port -- destination command`: ours, the user's, ForwardAgent=no.

    That one is last, as with scp, so that an explicit `-o ForwardAgent=yes` counts but ssh_config does not.
    """
    words = list(SSH_SAFETY_ARGS)
    if args.ip_version is not None:
        words.append(f"-{args.ip_version}")
    if args.is_quiet:
        words.append("-q")
    words += ["-v"] * (args.verbosity - 1)
    for letter, value in (("-F", args.ssh_config), ("-J", args.jump), ("-c", args.cipher)):
        if value is not None:
            words += [letter, value]
    for identity in args.identities:
        words += ["-i", identity]
    if args.batch:
        words.append("-oBatchMode=yes")
    for option in args.ssh_options:
        words += ["-o", option]
    words.append("-A" if args.forwards_agent else "-oForwardAgent=no")
    return tuple(words)
