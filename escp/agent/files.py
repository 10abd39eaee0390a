"""An agent that answers a program's questions about files, one after the other: in the place of `Service`."""

import os

from escp.control.channel import ControlChannel
from escp.control.messages import Bye, Message
from escp.control.questions import Change, Digest, List, Look, More, Read, Store
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop
from escp.names.answers import Answers, open_regular
from escp.streams.digests import digest_file, digest_of

_LONG_S = 3600.0


class FileService:
    """From `Files` to the initiator's `Bye`. Both may be silent for as long as they like.

    Whoever carries this session knows whether the initiator is there.
    """

    def __init__(self, loop: EventLoop, channel: ControlChannel):
        self.is_done = False
        self._loop = loop
        self._channel = channel
        self._answers = Answers(self._digest, digest_of)
        channel.fall_silent()

    @property
    def next_tick_s(self) -> float:
        return self._loop.now() + _LONG_S

    def tick(self, now: float) -> None:
        """Nothing is due."""

    def take(self, message: Message) -> None:
        answers = self._answers
        if isinstance(message, Look):
            self._channel.send(answers.look(message))
        elif isinstance(message, List):
            self._channel.send(answers.list(message))
        elif isinstance(message, More):
            self._channel.send(answers.more(message))
        elif isinstance(message, Change):
            self._channel.send(answers.change(message))
        elif isinstance(message, Read):
            self._channel.send(answers.read(message))
        elif isinstance(message, Store):
            self._channel.send(answers.store(message))
        elif isinstance(message, Digest):
            self._channel.send(answers.digest(message.path))
        elif isinstance(message, Bye):
            self.is_done = True
        else:
            raise ProtocolError("the initiator wants a copy of an agent that answers questions")

    def _digest(self, path: bytes) -> tuple[bytes, int]:
        fd = open_regular(path)[0]
        try:
            return digest_file(fd, lambda: None)
        finally:
            os.close(fd)

    def outlive(self) -> bool:
        """There is no other way to it."""
        return False

    def await_initiator(self) -> None:
        """It does not come back."""

    def close(self) -> None:
        self._answers.close()
