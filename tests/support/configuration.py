"""The environment of the tests, and that what a developer has configured for escp does not count in it."""

import os
from collections.abc import MutableMapping

from escp.options.config import variable_name
from escp.options.parser import build_parser


def forget_configuration(environ: MutableMapping[str, str]) -> None:
    """Let *environ* give escp no defaults: neither by variables nor by a file, the system's or the user's."""
    for key in build_parser().list_keys():
        environ.pop(variable_name(key), None)
    environ["ESCP_CONFIG"] = ""


def copy_environment() -> dict[str, str]:
    """os.environ as it is now, in threads too: pytest takes a variable out of it after each test."""
    while True:
        try:
            return dict(os.environ)
        except KeyError:
            continue
