"""Configuration files of any content: settings or one UsageError that names the file, never anything else."""

import os

from hypothesis import given
from hypothesis import strategies as st

from escp.errors import UsageError
from escp.options import config
from escp.options.options import NOT_CONFIGURABLE
from escp.options.values import check_setting
from tests.fuzz.targets import configuration
from tests.fuzz.targets.configuration import KINDS

# What a file is made of, so that more than its first line is looked at.
PIECES = st.sampled_from(
    [*KINDS, *NOT_CONFIGURABLE, "hosts", ": ", ":", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ",
     "#", "'", '"', "&a ", "*a", "!!x ", "? ", "| ", "> ", "---", "...", "%YAML 1.1", "true", "null", "~",
     "0x1f", "10", "1e999", "\t", "\u2028", "\ufeff", "\x85", "<<", "="]
)  # fmt: skip


@given(st.binary(max_size=200))
def test_any_bytes(data):
    configuration.test_one(data)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_tokens(text):
    configuration.test_one(text.encode())


@given(st.dictionaries(st.sampled_from([config.variable_name(key) for key in KINDS]), st.text(max_size=20)))
def test_any_environment(environ):
    environ = {name: text.replace("\0", "") for name, text in environ.items()}
    try:
        config.merge_blocks([config.read_environment(environ, KINDS)], KINDS, check_setting)
    except UsageError as e:
        assert "environment, ESCP_" in str(e)
    assert os.environ["ESCP_CONFIG"] == ""
