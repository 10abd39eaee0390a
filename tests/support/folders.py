"""Directories for tests: made when they begin, gone when they end."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(prefix: str = "escp-test-", *, place: str | None = None, mode: int = 0o700) -> Iterator[Path]:
    """Not pytest's tmp_path: that keeps the last three runs, and these files are large."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(mode)
    try:
        yield folder
    finally:
        for top, names, _ in os.walk(folder):  # shutil alone stops at directories that forbid it
            for name in names:
                path = os.path.join(top, name)
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    os.chmod(path, 0o700)
        shutil.rmtree(folder)
