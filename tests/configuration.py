"""What a developer has configured for escp, and that it does not count here."""

from collections.abc import MutableMapping

from escp.config import variable_name
from escp.parser import build_parser


def forget_configuration(environ: MutableMapping[str, str]) -> None:
    """Let *environ* give escp no defaults: neither by variables nor by a file, the system's or the user's."""
    for key in build_parser().list_keys():
        environ.pop(variable_name(key), None)
    environ["ESCP_CONFIG"] = ""
