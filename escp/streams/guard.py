"""This host's rules, put in force: in the planes, and for all names that Python opens (`names/guarded`)."""

import os

from escp._fast.files.guard import check_guarded, open_guarded, set_guard
from escp._fast.files.guard import forbid_reading as forbid_reading
from escp._fast.files.guard import set_ceilings as set_ceilings
from escp.names import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def confine(allow: "Sequence[str]", deny: "Sequence[str]", who: str) -> None:
    """From now on this process reaches what is below *allow*, and not below *deny*: paths without links.

    *who* forbids the rest, for people. Once in a process.
    """
    set_guard([os.fsencode(path) for path in allow], [os.fsencode(path) for path in deny])
    guarded.install(open_guarded, check_guarded, who)
