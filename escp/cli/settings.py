"""`escp --show-config` and `escp --check-config`."""

from escp.errors import UsageError
from escp.options.shown import check_files, list_settings
from escp.ui.display import show_text
from escp.ui.ui import has_json_output, make_bare_ui, make_json_uis, print_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options
    from escp.options.shown import Shown

_COLUMN = 40  # in which the place begins
_FIRST = "&*!`@%{[\"'#,>|-?:"  # what means something where a value begins


def run_settings(options: "Options", argv: list[str]) -> int:
    """Raises UsageError for what is wrong with the configuration."""
    if options.checks_config:
        return _check(options)
    shown = list_settings(argv)
    for ui in make_json_uis(options):
        for one in shown:
            ui.setting(*one)
        ui.end(None)
    if not has_json_output(options):
        for one in shown:
            print_page(format_setting(one))
    return 0


def format_setting(shown: "Shown") -> str:
    """'parallel: 8                  # /etc/escp.conf, line 3', as a configuration has it."""
    value = shown.value
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list):
        text = f"[{', '.join(map(_quote, value))}]"
    else:
        text = "null" if value is None else _quote(str(value))
    return f"{shown.name}: {text}".ljust(_COLUMN) + f" # {show_text(shown.origin)}"


def _quote(text: str) -> str:
    shown = show_text(text)
    is_word = shown.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "~", "")
    is_plain = is_word and shown[0] not in _FIRST and not any(c in shown for c in ",]#") and ": " not in shown
    return shown if is_plain else "'" + shown.replace("'", "''") + "'"


def _check(options: "Options") -> int:
    found, wrong = check_files()
    uis = make_json_uis(options)
    for place, what in found:
        text = f"{place}: {what}"
        for ui in uis:
            ui.announce(text)
        if not has_json_output(options):
            print_page(show_text(text))
    for error in wrong[:-1]:
        for one in (*uis, *([] if options.json else [make_bare_ui(json=False)])):
            one.warn(f"{error} ({error.hint})" if error.hint else str(error))
    if wrong:
        raise UsageError(str(wrong[-1]), wrong[-1].hint)
    for ui in uis:
        ui.end(None)
    return 0
