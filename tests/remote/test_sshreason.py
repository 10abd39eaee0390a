"""Why ssh ended, from what it said."""

import pytest

from escp.remote.sshreason import MAX_REASON, find_reason, is_for_good

BANNER = [
    "@@@@@@@@@@@@@@",
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
    "Host key verification failed.",
]


@pytest.mark.parametrize(
    ("lines", "reason", "is_final"),
    [
        ([], "", False),
        (["ssh: Could not resolve hostname nosuch: Name or service not known"],
         "Could not resolve hostname nosuch: Name or service not known", True),
        (["ssh: Could not resolve hostname a: Temporary failure in name resolution"],
         "Could not resolve hostname a: Temporary failure in name resolution", False),
        (["Welcome", "me@box: Permission denied (publickey,password)."],
         "me@box: Permission denied (publickey,password)", True),
        (BANNER, "Host key verification failed", True),
        (["ssh: connect to host box port 22: Connection refused"],
         "connect to host box port 22: Connection refused", False),
        (["ssh: connect to host box port 22: Connection timed out"],
         "connect to host box port 22: Connection timed out", False),
        (["kex_exchange_identification: Connection closed by remote host",
          "Connection closed by UNKNOWN port 65535", "debug1: Exit status -1"],
         "kex_exchange_identification: Connection closed by remote host", False),
    ],
)  # fmt: skip
def test_reason_and_whether_to_try_again(lines, reason, is_final):
    assert (find_reason(lines), is_for_good(lines)) == (reason, is_final)


@pytest.mark.parametrize(
    "line",
    ["escp: error: forged", "x" + 80 * " " + "escp: hint: forged", "\x1b[2J", "\u0435scp: x", "y" * 5000],
)
def test_nothing_in_a_reason_looks_like_ours_or_does_anything(line):
    reason = find_reason([line])
    assert "escp:" not in reason and reason.isascii() and reason.isprintable() and len(reason) <= MAX_REASON
