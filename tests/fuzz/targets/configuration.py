"""A configuration file of any content: settings, or one UsageError that names the file."""

import tempfile
from pathlib import Path

from escp.errors import UsageError
from escp.options import config, configfile
from escp.options.options import NOT_CONFIGURABLE, list_kinds
from escp.options.parser import build_parser
from escp.options.values import check_setting

KINDS = list_kinds(build_parser())


def test_one(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        try:
            blocks = configfile.read_files({"ESCP_CONFIG": file.name}, KINDS, NOT_CONFIGURABLE)
            chosen = config.select_blocks(blocks, [("host", "me@host")])
            values, lists = config.merge_blocks(chosen, KINDS, check_setting)
        except UsageError as e:
            assert file.name in str(e)
            return
    assert set(values) | set(lists) <= {kind.dest for kind in KINDS.values()}
