"""What the sender makes of odd trees: long names and paths, many attributes, links of both kinds, holes, and
files that change while they are read.

A real receiver decodes all of it, so a frame that it refuses is a fault of the sender's; what nobody changed
must arrive as it is.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from escp._fast.planes.plane import FATAL
from tests.fuzz.choices import Choices
from tests.support.loopback import BLOCK, Loopback

SCRATCH = tempfile.TemporaryDirectory(prefix="escp-trees-", dir=os.environ.get("TMPDIR"))
SOURCE, TARGET = (os.path.join(SCRATCH.name, name) for name in ("source", "target"))
MOST_FILES, MOST_BYTES, MOST_DEPTH = 1100, 16 << 20, 3000
COUNTS = [1, 2, 5, 20, 60, 120]  # of files that one decision makes
SIZES = [0, 1, 100, 4000, 70_000, 128 << 10, (128 << 10) + 1, BLOCK, 3 * BLOCK + 7, 2 << 20]
SENDING = ["keeps_hard_links", "keeps_xattrs", "keeps_owner_names", "is_sparse"]
RECEIVING = ["keeps_hard_links", "keeps_xattrs", "keeps_owner", "is_sparse"]


def test_one(data: bytes) -> None:
    story = Choices(data)
    switches = story.randrange(256)
    chosen = [bool(switches >> i & 1) for i in range(4)]
    sending = dict(zip(SENDING, chosen, strict=True)) | {"keeps_links": not switches & 16}
    receiving = dict(zip(RECEIVING, chosen, strict=True)) | {"keeps_links": not switches & 16}
    n_streams = 1 + (switches >> 5 & 1)
    for folder in (SOURCE, TARGET):
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
    n_open = len(os.listdir("/proc/self/fd"))
    tree = Tree(story)
    tree.plant()
    both = {"has_compression": bool(switches & 64)}
    options = {"both": both, "sending": sending, "receiving": receiving, "is_local": bool(switches & 128)}
    with Loopback(Path(TARGET), n_streams=1 if switches & 128 else n_streams, **options) as loopback:
        loopback.start()
        loopback.add((os.fsencode(SOURCE), b"t"))
        is_changed = tree.change()
        outcome = loopback.run_to_end()
    fatal = [event for _, event in outcome.events if event.kind == FATAL]
    assert not fatal, fatal
    assert len(os.listdir("/proc/self/fd")) <= n_open, "a descriptor is left open"
    if not is_changed and not outcome.events:
        compare(SOURCE, os.path.join(TARGET, "t"))


class Tree:
    """Below SOURCE, as the story has it."""

    def __init__(self, story: Choices):
        self.story = story
        self.folders = [os.fsencode(SOURCE)]
        self.files: list[bytes] = []
        self.n_left, self.bytes_left = MOST_FILES, MOST_BYTES

    def plant(self) -> None:
        while self.n_left > 0 and self.story.randrange(32) < 28 and not self.story.is_over:
            make = self.story.choice([self.make_files, self.make_folder, self.make_links, self.make_names,
                                      self.make_attributes, self.make_holes])  # fmt: skip
            # Names that are too long, attributes that tmpfs does not take: they are not there then.
            with suppress(OSError):
                make()

    def name(self) -> bytes:
        """A new one below one of the folders: 4 to 255 bytes."""
        length = self.story.choice([4, 4, 20, 120, 255])
        letter = self.story.choice([b"a", b"\n", b"\xff", b" ", b"\\"])
        number = b"%04d" % self.n_left
        folder = self.folders[self.story.randrange(len(self.folders))]
        return folder + b"/" + number + letter * (length - 4)

    def make_files(self) -> None:
        size = self.story.choice(SIZES)
        path = self.name()
        for i in range(self.story.choice(COUNTS)):
            self.n_left -= 1
            self.bytes_left -= size
            if self.n_left <= 0 or self.bytes_left < 0:
                return
            one = path + b"%d" % i if len(os.path.basename(path)) < 250 else self.name()
            with open(one, "wb") as file:
                file.write(bytes([65 + i % 26]) * size)
            self.files.append(one)

    def make_folder(self) -> None:
        path = self.name()
        if len(path) < MOST_DEPTH:
            os.mkdir(path)
            self.folders.append(path)
            self.n_left -= 1

    def make_links(self) -> None:
        """Symbolic ones, with texts of up to 4095 bytes."""
        text = self.story.choice([b"x", b"..", b"n" * 4095, b"/etc/passwd", b"a/" * 2000, *self.files[-2:]])
        for _ in range(self.story.choice(COUNTS[:4])):
            os.symlink(text, self.name())
            self.n_left -= 1

    def make_names(self) -> None:
        """More names of one file."""
        file = self.story.choice(self.files or [b""])
        for _ in range(self.story.choice(COUNTS)):
            os.link(file, self.name())
            self.n_left -= 1

    def make_attributes(self) -> None:
        value = bytes(self.story.choice([0, 1, 100, 3900, 30_000]))
        n = self.story.choice([1, 1, 4, 40, 300])
        for path in (self.files or [b""])[-self.story.choice(COUNTS) :]:
            for i in range(n):
                os.setxattr(path, b"user.%d" % i + b"x" * self.story.choice([0, 0, 200]), value)

    def make_holes(self) -> None:
        size = self.story.choice([BLOCK, 2 << 20, 2 << 20, 5 << 20])
        path = self.name()
        with open(path, "wb") as file:
            file.truncate(size)
            for _ in range(1 + self.story.randrange(6)):
                file.seek(self.story.randrange(65536) * size >> 16)
                file.write(b"x" * self.story.choice([1, 4096, 70_000]))
        self.files.append(path)
        self.n_left -= 1

    def change(self) -> bool:
        """What happens to files while they are sent; whether anything does."""
        is_changed = False
        while self.files and not self.story.is_over:
            is_changed = True
            path = self.files[self.story.randrange(len(self.files))]
            with suppress(OSError), open(path, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                at = self.story.randrange(65536) * (size + 1) >> 16
                how = self.story.randrange(4)
                if how == 0:
                    file.truncate(at)
                elif how == 1:  # a hole from there on, and the size as it was
                    file.truncate(at)
                    file.truncate(size)
                elif how == 2:
                    file.seek(at)
                    file.write(b"changed")
                else:
                    os.unlink(path)
        return is_changed


def compare(source: str, target: str) -> None:
    """What is no file (links that were not asked for, …) has been told of by an event."""
    for folder, _, names in os.walk(os.fsencode(source)):
        for name in names:
            one = os.path.join(folder, name)
            copy = os.fsencode(target) + one[len(source) :]
            if os.path.islink(copy):
                assert os.readlink(one) == os.readlink(copy)
                continue
            with open(one, "rb") as a, open(copy, "rb") as b:
                assert a.read() == b.read(), one
