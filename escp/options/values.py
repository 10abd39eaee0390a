"""Values of options, each by itself: text -> checked value, or a UsageError that names the option.

From the command line, the configuration, and an agent's own words: without argparse, which no agent loads.
"""

import os

from escp.constants import (
    BLOCK_MULTIPLE_BYTES,
    DEFAULT_BLOCK_BYTES,
    KIB,
    MAX_BLOCK_BYTES,
    MAX_STREAMS,
    MEMORY_BLOCK_BYTES,
    MIB,
    MIN_BLOCK_BYTES,
)
from escp.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import re
    from collections.abc import Callable

MAX_PORT = 65535
MAX_DAYS = 3650  # of a certificate
MAX_DESCRIPTOR = 1 << 20
MIN_LIMIT_BYTES_PER_S = 128  # scp's smallest, 1 Kbit/s: two bytes a second for each of 64 streams
MAX_LIMIT_BYTES_PER_S = 1 << 50  # far beyond any network, far below what a 64-bit pacing rate holds
TUNNEL_CHOICES = ("auto", "never", "always")
ENGINES = ("posix", "dummy", "shmem")
FALLBACKS = ("none", "scp")
_MAX_BYTES = (1 << 63) - 2  # of a file, so that one more is a bound


def _fullmatch(pattern: str, text: str) -> "re.Match[str] | None":
    import re  # lazy: 2 ms that no agent needs to spend

    return re.fullmatch(pattern, text)


def parse_mask(text: str, option: str) -> int:
    """A bit mask as the original has it: hexadecimal, with or without 0x. Raises UsageError."""
    if not _fullmatch(r"(0[xX])?[0-9a-fA-F]{1,256}", text) or not int(text, 16):
        raise UsageError(f"option {option}: '{text}' is no mask", "write hexadecimal digits: F is 0 to 3")
    return int(text, 16)


def check_logfile(text: str) -> str:
    """The value of --logfile as it is. Raises UsageError for a facility that does not exist."""
    if not text or (_fullmatch(r"LOCAL[0-9]+", text) and not is_facility(text)):
        raise UsageError(
            f"option --logfile: there is no syslog facility '{text}'", "they are LOCAL0 to LOCAL7"
        )
    return text


def is_facility(logfile: str) -> bool:
    """Whether a value of --logfile names a syslog facility, not a file."""
    return _fullmatch(r"LOCAL[0-7]", logfile) is not None


def parse_size(text: str, option: str) -> int:
    """Bytes of a size such as 1M: K, M and G are powers of 1024. Raises UsageError naming the option."""
    match = _fullmatch(r"([0-9]{1,15})([KMGkmg]?)", text)
    if not match:
        raise UsageError(
            f"option {option}: '{text}' is no size", "write a number of bytes, or one with K, M or G"
        )
    return int(match[1]) * {"": 1, "K": KIB, "M": MIB, "G": KIB * MIB}[match[2].upper()]


def parse_bytes(text: str, option: str) -> int:
    """Bytes as rsync reads them: 1.5M and 1MiB are powers of 1024, 1MB of 1000; -1 behind it is one less."""
    match = _fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGTPkmgtp]?)((?:[iI]?[bB])?)([-+]1)?", text)
    if not match or (match[3].lower() == "ib" and not match[2]):
        raise UsageError(
            f"option {option}: '{text}' is no size", "write bytes, or 10K, 1.5M, 2G (powers of 1024)"
        )
    unit = 1000 if match[3].lower() == "b" else 1024
    size = int(float(match[1]) * unit ** " KMGTP".index(match[2].upper() or " ")) + int(match[4] or 0)
    return min(max(size, 0), _MAX_BYTES)


def parse_bounds(min_size: str | None, max_size: str | None) -> tuple[int, int]:
    """The sizes of files that are copied: at least the first, and below the second unless that is 0."""
    low = 0 if min_size is None else parse_bytes(min_size, "--min-size")
    below = 0 if max_size is None else parse_bytes(max_size, "--max-size") + 1
    if below and low >= below:
        raise UsageError(f"option --min-size: {min_size} is more than --max-size {max_size}", "no file fits")
    return low, below


def check_contents(args: "argparse.Namespace") -> None:
    """Options that can't both be had. Raises UsageError."""
    if args.is_inplace and args.is_sparse:
        raise UsageError(
            "option --inplace: with --sparse old contents would show through the holes", "use one of them"
        )
    if args.reads_back and args.nochecksum:
        raise UsageError(
            "option --verify: with --nochecksum there is nothing to compare with", "use one of them"
        )


def parse_partial(args: "argparse.Namespace") -> int:
    """The size from which on files stay as parts, 0 where none do. Raises UsageError."""
    partial_min = parse_size(args.partial_min, "--partial-min")
    for is_set, name, reason in (
        (args.drops_parts, "--no-partial", "nothing would be left to go on with"),
        (args.nochecksum, "--nochecksum", "what is there can't be compared without digests"),
        (args.is_inplace, "--inplace", "what was written in place has no journal"),
    ):
        if is_set and args.resumes:
            raise UsageError(f"option --resume: with {name} {reason}", "use one of them")
    return 0 if args.drops_parts or args.nochecksum else min(max(partial_min, 1), 1 << 62)


def parse_chmod(text: str) -> tuple[int, ...]:
    from escp.options import modes  # lazy: few need it

    return modes.parse_chmod(text)


def parse_rate(text: str) -> int:
    """Bytes per second of a rate: 800 (Kbit/s of 1024 bits, as scp), 100M or 100MB, 800Mbit (powers of 1000).

    The result is between 128 and 2**50. Raises UsageError.
    """
    match = _fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGTkmgt]?)(i?B|[Bb]it|)(/s)?", text)
    if not match or (match[4] and not match[2] + match[3]) or (match[3] == "iB" and not match[2]):
        hint = "write 8000 (Kbit/s), 100M (bytes/s) or 800Mbit (bits/s)"
        raise UsageError(f"option -l: '{text}' is no rate", hint)
    if match[2] or match[3]:
        unit = 1 / 8 if match[3].endswith("it") else 1
        thousand = 1024 if match[3] == "iB" else 1000
        bytes_per_s = float(match[1]) * thousand ** " KMGT".index(match[2].upper() or " ") * unit
    else:
        bytes_per_s = float(match[1]) * 1024 / 8
    if not MIN_LIMIT_BYTES_PER_S <= bytes_per_s <= MAX_LIMIT_BYTES_PER_S:
        raise UsageError(f"option -l: '{text}' is out of range", "the least is 1 Kbit/s, written 1")
    return int(bytes_per_s)


MAX_RETRIES = 1000
MAX_DELETIONS = 999_999_999


def parse_time(text: str, option: str = "--stats", *, is_never: bool = True) -> int:
    """Seconds of 90, 90s, 5m or 2h. *is_never*: 0 may be, and is never. Raises UsageError."""
    match = _fullmatch(r"([0-9]{1,9})([smh]?)", text)
    if not match or not (int(match[1]) or is_never):
        raise UsageError(
            f"option {option}: '{text}' is no time",
            f"write seconds, or minutes as 5m, hours as 2h{'; 0 is never' if is_never else ''}",
        )
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_stop(text: str) -> int:
    return parse_time(text, "--stop-after", is_never=False)


def parse_deletions(text: str) -> int:
    return parse_count(text, "--max-delete", 0, MAX_DELETIONS)


def parse_retries(text: str) -> int:
    return parse_count(text, "--retry", 0, MAX_RETRIES)


def parse_count(text: str, option: str, low: int, high: int) -> int:
    if not _fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UsageError(f"option {option}: '{text}' is not a number from {low} to {high}")
    return int(text)


def parse_days(text: str) -> int:
    return parse_count(text, "--days", 1, MAX_DAYS)


def parse_block(text: str, *, in_memory: bool = False) -> int:
    if text == "auto":
        return MEMORY_BLOCK_BYTES if in_memory else DEFAULT_BLOCK_BYTES
    block_bytes = parse_size(text, "--blocksize")
    if block_bytes % BLOCK_MULTIPLE_BYTES or not MIN_BLOCK_BYTES <= block_bytes <= MAX_BLOCK_BYTES:
        raise UsageError(f"option --blocksize: '{text}' is not a multiple of 256K from 256K to 32M")
    return block_bytes


def parse_engines(text: str) -> tuple[str, str]:
    sender, is_pair, receiver = text.partition("::")
    pair = (sender, receiver if is_pair else sender)
    for engine in pair:
        if engine not in ENGINES:
            raise UsageError(
                f"option --ioengine: there is no engine '{engine}'",
                f"engines are {' and '.join(ENGINES)}; SENDER::RECEIVER names one for each side",
            )
    return pair


def parse_cpumask(text: str) -> int:
    return parse_mask(text, "--cpumask")


def parse_nodemask(text: str) -> int:
    return parse_mask(text, "--nodemask")


def parse_port(text: str) -> int:
    return parse_count(text, "--escp_port", 1, MAX_PORT)


def parse_ssh_port(text: str) -> int:
    return parse_count(text, "-P", 1, MAX_PORT)


def parse_streams(text: str) -> int:
    return parse_count(text, "--parallel", 1, MAX_STREAMS)


def parse_descriptor(text: str) -> int:
    """The descriptor of --json-fd, which must be open for writing. From now on no child inherits it."""
    import fcntl  # lazy: few need it

    fd = parse_count(text, "--json-fd", 1, MAX_DESCRIPTOR)
    if fd == 2:
        raise UsageError("option --json-fd: 2 is standard error, which is for people", "open another: 3>FILE")
    try:
        is_writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        is_writable = False
    if not is_writable:
        raise UsageError(f"option --json-fd: {fd} is not open for writing", f"open it: {fd}>FILE")
    os.set_inheritable(fd, False)
    return fd


def check_tunnel(text: str) -> str:
    return check_choice("--tunnel", text, TUNNEL_CHOICES)


def check_fallback(text: str) -> str:
    return check_choice("--fallback", text, FALLBACKS)


def check_pattern(pattern: str, option: str = "--exclude") -> bytes:
    """A pattern of --exclude or --include; what is wrong with one is told before anything is started."""
    if not pattern.strip("/"):
        raise UsageError(f"option {option}: a pattern is empty", "* fits every name")
    if pattern.startswith(("- ", "+ ")):  # rsync's way to say the one where the other one stands
        hint = f"write --include or --exclude for it; a name that begins so is [{pattern[0]}]{pattern[1:]}"
        raise UsageError(f"option {option}: '{pattern}' is a rule of rsync's, not a pattern", hint)
    import re  # lazy, as above

    if re.search(r"\[(?![]!^]*[^]]*\])", re.sub(r"\\.", "", pattern)):
        raise UsageError(f"option {option}: '{pattern}' has a '[' without its ']'", "write \\[ for itself")
    return os.fsencode(pattern)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"option {option}: '{value}' is not one of {', '.join(choices)}")
    return value


def check_address(text: str) -> str:
    import ipaddress  # not at the top: few need it

    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise UsageError(f"option --bind: '{text}' is no address", "write it in numbers") from None
    return text


def find_family(ip_version: int | None) -> int | None:
    if ip_version is None:
        return None
    import socket  # lazy: 4 ms, and most runs don't need it before ssh is started

    return int(socket.AF_INET if ip_version == 4 else socket.AF_INET6)


def check_setting(key: str, text: str) -> object:
    """Check a value of the configuration by itself. Raises UsageError."""
    check = _CHECKS.get(key)
    return text if check is None else check(text)


# By key of the configuration: what can be said of a value alone.
_CHECKS: dict[str, "Callable[[str], object]"] = {
    "ssh-port": parse_ssh_port,
    "min-size": lambda text: parse_bytes(text, "--min-size"),
    "max-size": lambda text: parse_bytes(text, "--max-size"),
    "chmod": parse_chmod,
    "limit": parse_rate,
    "include": check_pattern,
    "exclude": check_pattern,
    "bind": check_address,
    "tunnel": check_tunnel,
    "fallback": check_fallback,
    "escp-port": parse_port,
    "escp-portrange": lambda text: parse_count(text, "--escp_portrange", 0, MAX_PORT),
    "parallel": parse_streams,
    "blocksize": parse_block,
    "partial-min": lambda text: parse_size(text, "--partial-min"),
    "ioengine": parse_engines,
    "cpumask": parse_cpumask,
    "nodemask": parse_nodemask,
    "logfile": check_logfile,
    "stats": parse_time,
    "stop-after": parse_stop,
    "retry": parse_retries,
    "reconnect-timeout": lambda text: parse_time(text, "--reconnect-timeout"),
}
