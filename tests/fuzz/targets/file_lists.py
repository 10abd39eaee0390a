"""A file list of any content: entries that may be used, or one UsageError that says where."""

import tempfile
from pathlib import Path

from escp.errors import UsageError
from escp.names.filelist import MAX_ENTRY_BYTES, read_filelist

FORMS = (("", False), ("", True), (".yaml", False))  # of the name, and -0


def test_one(data: bytes) -> None:
    suffix, is_nul = FORMS[data[0] % 3 if data else 0]
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        Path(file.name).write_bytes(data[1:])
        try:
            for source, target in read_filelist(file.name, is_nul=is_nul):
                assert 0 < len(source) <= MAX_ENTRY_BYTES and b"\0" not in source
                if target is not None:
                    assert not {b"", b".", b".."} & set(target.split(b"/")) and b"\0" not in target
        except UsageError as error:
            assert f"file list '{file.name}'" in str(error)
