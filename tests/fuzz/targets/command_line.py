"""Operands and options: a Location or options, or a usage error; quoting back loses nothing."""

import os

from escp.errors import EscpError
from escp.options.location import parse_location
from escp.options.options import parse_options


def test_one(data: bytes) -> None:
    """Words with NULs between them."""
    words = data.split(b"\0")
    for word in words:
        read_location(word)
    read_options([os.fsdecode(word) for word in words])


def read_options(argv: list[str]) -> None:
    try:
        options = parse_options(argv)
    except EscpError as error:
        assert error.exit_code == 2 and str(error)
        return
    assert not options.sources or options.target.is_remote or options.target.path
    assert 1 <= options.n_streams <= 64 and options.port + options.n_ports <= 65536


def read_location(word: bytes) -> None:
    try:
        location = parse_location(word)
    except EscpError as error:
        assert str(error) and "\n" not in error.hint
        return
    assert parse_location(os.fsencode(str(location))) == location
    if not location.is_remote:
        assert location.path == word
        return
    for argument in (location.host, location.ssh_destination()):
        assert argument and not argument.startswith("-") and argument.isprintable()
    assert b"\0" not in location.path
