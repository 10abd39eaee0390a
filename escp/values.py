"""Values of options that both sides read: masks and logs. Without argparse, which an agent must not load."""

import re

from escp.errors import UsageError


def parse_mask(text: str, option: str) -> int:
    """A bit mask as the original has it: hexadecimal, with or without 0x. Raises UsageError."""
    if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,256}", text) or not int(text, 16):
        raise UsageError(f"option {option}: '{text}' is no mask", "write hexadecimal digits: F is 0 to 3")
    return int(text, 16)


def check_logfile(text: str) -> str:
    """The value of --logfile as it is. Raises UsageError for a facility that does not exist."""
    if not text or (re.fullmatch(r"LOCAL[0-9]+", text) and not is_facility(text)):
        raise UsageError(
            f"option --logfile: there is no syslog facility '{text}'", "they are LOCAL0 to LOCAL7"
        )
    return text


def is_facility(logfile: str) -> bool:
    """Whether a value of --logfile names a syslog facility, not a file."""
    return re.fullmatch(r"LOCAL[0-7]", logfile) is not None
