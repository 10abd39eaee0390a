"""What a message of the control channel is; and those three that come before all others. Pure.

An agent's hello waits for the making of these classes, and not of the thirty others.
"""

from escp.lean.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    Kinds = tuple[type["Message"], ...]


class Message(Record):
    """*agent*: an agent may send it, after one of these messages of its own; (): from the start.

    *initiator*: the same for the initiator. The side that is not given never sends it. *repeats*: it may come
    again. *answers*: what it is the answer to, and *done*: what its author has done by then, for the error
    when it does not come. *is_json*: it has a `type`. *is_counted*: among those that `Heard`
    counts. *wire_names*: fields that have another name in the JSON; one that begins with ! says the opposite
    there.
    """

    if TYPE_CHECKING:
        agent: ClassVar[Kinds | None]
        initiator: ClassVar[Kinds | None]
        repeats: ClassVar[bool]
        answer: ClassVar[type["Message"] | None]  # what is owed for it
        done: ClassVar[str]
        is_json: ClassVar[bool]
        is_counted: ClassVar[bool]
        wire_names: ClassVar[dict[str, str]]

    def __init_subclass__(
        cls, *, agent: "Kinds | None" = None, initiator: "Kinds | None" = None, repeats: bool = False,
        answers: "type[Message] | None" = None, done: str = "", is_json: bool = True, is_counted: bool = True,
        wire_names: "dict[str, str] | None" = None,
    ) -> None:  # fmt: skip
        super().__init_subclass__()
        cls.agent, cls.initiator, cls.repeats = agent, initiator, repeats
        cls.answer, cls.done, cls.is_json, cls.is_counted = None, done, is_json, is_counted
        cls.wire_names = wire_names or {}
        if answers is not None:
            answers.answer = cls
        if is_json:
            TYPES[cls.__name__.lower()] = cls


TYPES: dict[str, type[Message]] = {}  # by their names in the JSON


class Hello(Message, agent=(), initiator=(), done="said hello"):
    """The agent's first message, and the initiator's answer to it."""

    major: int
    minor: int
    version: str
    features: list[str]


class Error(Message):
    """The agent can't go on; `exit_code` as in escp.errors. `sys_errno`: its system's, or 0."""

    exit_code: int
    message: str
    hint: str
    sys_errno: int = 0


class KeepAlive(Message, is_counted=False):
    """Nothing happened, and its author is alive."""
