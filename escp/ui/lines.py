"""One output stream as everything of escp writes to it: whole lines, until nobody reads them any more."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO  # not at the top: 2 ms of every start


class Lines:
    """Writes whole lines to one stream, each flushed; silent for good once the stream can't take them."""

    def __init__(self, stream: "TextIO | None"):
        self._stream = stream  # None: Python found the descriptor closed

    def write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.silence()

    def silence(self) -> None:
        """Point the descriptor at /dev/null, so that Python's flush at exit doesn't fail either."""
        stream, self._stream = self._stream, None
        try:
            null_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null_fd, stream.fileno())  # type: ignore[union-attr]
            os.close(null_fd)
        except (OSError, ValueError, AttributeError):
            pass  # no descriptor behind it, or it is closed: nothing will be flushed there

    def find_columns(self) -> int | None:
        """How wide the terminal is; None: it is none."""
        if self._stream is None:
            return None
        try:
            fd = self._stream.fileno()
            return os.get_terminal_size(fd).columns or 80 if os.isatty(fd) else None
        except (OSError, ValueError):
            return None

    def is_foreground_terminal(self) -> bool:
        """Whether a person sees it now: a terminal whose foreground process group is ours."""
        if self._stream is None:
            return False
        try:
            fd = self._stream.fileno()
            return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
        except (OSError, ValueError):
            return False

    @property
    def stream(self) -> "TextIO | None":
        return self._stream
