"""escp: copy files between hosts over several sealed TCP streams, verified, at the machine's speed.

For programs: `escp.copy` and `escp.aio.copy` (docs/api.md). They are imported when they are first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.api import aio as aio
    from escp.api.blocks import Blocks as Blocks
    from escp.api.blocks import BlockWriter as BlockWriter
    from escp.api.blocks import receive_blocks as receive_blocks
    from escp.api.connection import Remote as Remote
    from escp.api.connection import connect as connect
    from escp.api.copy import copy as copy
    from escp.api.entry import Entry as Entry
    from escp.api.expected import digest_path

    digest = digest_path
    from escp.api.outcome import Failed as Failed
    from escp.api.outcome import Progress as Progress
    from escp.api.outcome import Result as Result
    from escp.errors import CancelledError as CancelledError
    from escp.errors import EscpError as EscpError
    from escp.errors import OutcomeUnknown as OutcomeUnknown

__version__ = "0.1.0"

_PUBLIC = {
    "copy": "escp.api.copy",
    "aio": "escp.api.aio",
    "connect": "escp.api.connection",
    "Remote": "escp.api.connection",
    "BlockWriter": "escp.api.blocks",
    "Blocks": "escp.api.blocks",
    "receive_blocks": "escp.api.blocks",
    "digest": "escp.api.expected",
    "Entry": "escp.api.entry",
    "Failed": "escp.api.outcome",
    "Progress": "escp.api.outcome",
    "Result": "escp.api.outcome",
    "CancelledError": "escp.errors",
    "EscpError": "escp.errors",
    "OutcomeUnknown": "escp.errors",
}
_OTHERWISE = {"digest": "digest_path"}  # what they are called there


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'escp' has no attribute '{name}'")
    from importlib import import_module

    module = import_module(_PUBLIC[name])
    return module if name == "aio" else getattr(module, _OTHERWISE.get(name, name))


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
