"""Digests that a program expects of what it copies, at the end that receives: `Expect` and its bounds."""

import os

from escp.errors import ProtocolError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp.control.messages import Receive

MAX_EXPECTED = 1 << 20


def take_expected(
    wanted: "Receive", names: "Sequence[bytes]", digests: "Sequence[bytes]",
    *, n_before: int, names_below: bool, is_in_order: bool,
) -> list[tuple[bytes, bytes]]:  # fmt: skip
    """Paths below the destination, and their digests. *n_before*: how many there are already.

    *names_below*, *is_in_order*: as a ReceiveEnd has them.
    """
    if not wanted.has_expected or len(names) != len(digests):
        raise ProtocolError("the initiator expects what it can't")
    if n_before + len(names) > MAX_EXPECTED:
        raise ProtocolError(f"digests of more than {MAX_EXPECTED:,} files are expected")
    if is_in_order:
        shown = os.fsdecode(wanted.target)
        raise RefusedError(
            f"expected_digest: '{shown}' is a pipe or device: it takes what comes before its digest is known",
            "leave it out",
        )
    below = names if names_below else [name.partition(b"/")[2] for name in names]
    return [*zip(below, digests, strict=True)]
