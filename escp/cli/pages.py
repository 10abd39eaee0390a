"""What `-h`, `-V` and `-L` print."""

from escp import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options

LICENCE = """\
BSD 3-Clause License

Copyright (c) 2026, the escp authors

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

3. Neither the name of the copyright holder nor the names of its
   contributors may be used to endorse or promote products derived from
   this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""


def describe_help() -> str:
    from escp.options.parser import build_parser  # not at the top: --version has no options

    return build_parser().format_help()


def describe_version(*, verbose: bool) -> str:
    """`escp 1.2.3`; verbose, one fact a line about this build and what it uses on this machine."""
    lines = [f"escp {__version__}"]
    if verbose:
        # Not at the top: plain --version loads nothing native.
        import platform
        import sys

        from escp.constants import PROTOCOL_MAJOR, PROTOCOL_MINOR  # not at the top
        from escp.streams import sealing  # not at the top, as above

        lines += [
            f"protocol: {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
            f"AEAD: AES-128-GCM by {sealing.choose_aead()}",
            *(f"{name}: {value}" for name, value in sealing.describe_build().items()),
            f"Python: {sys.version.split()[0]}",
            f"system: {platform.platform()}",
        ]
    return "\n".join(lines)


def list_options() -> "list[dict[str, object]]":
    """For programs: names, placeholder and help of each option, in its group."""
    from escp.options.parser import build_parser  # not at the top, as above

    found: list[dict[str, object]] = []
    for group in build_parser()._action_groups:
        for action in group._group_actions:
            if action.option_strings and "==" not in str(action.help):
                text = str(action.help).replace("%(default)s", str(action.default))
                value = None if action.nargs == 0 else action.metavar
                found.append(
                    {"names": action.option_strings, "value": value, "help": text, "group": group.title}
                )
    return found


def show_page(options: "Options") -> int:
    from escp.ui.ui import has_json_output, print_page  # lazy: a test makes these pages

    if options.json or options.json_fd is not None:
        _show_as_json(options)
    if has_json_output(options):
        return 0
    if not options.shows_help and not options.shows_licence:
        return show_version(verbose=options.verbosity > 0)
    print_page(describe_help() if options.shows_help else LICENCE)
    return 0


def show_version(*, verbose: bool) -> int:
    from escp.ui.ui import print_page  # lazy, as above

    print_page(describe_version(verbose=verbose))
    return 0


def _show_as_json(options: "Options") -> None:
    from escp.ui.ui import make_json_uis  # lazy, as above

    for ui in make_json_uis(options):
        if options.shows_help:
            ui.page("help", describe_help(), list_options())
        elif options.shows_licence:
            ui.page("licence", LICENCE)
        else:
            ui.page("version", describe_version(verbose=options.verbosity > 0))
        ui.end(None)
