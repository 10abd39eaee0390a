"""PyYAML, loaded late, and only to split a text into events: no object is ever made of one."""

from escp.errors import UsageError

TYPE_CHECKING = False  # typing would cost 4 ms before ssh can start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_TAB_HINT = "YAML indents with blanks, not with tabs; what begins with one of @ ` % stands in quotes"


class YamlError(Exception):
    """The text is no YAML; *line* counts from 1, None where it is not known."""

    def __init__(self, problem: str, line: int | None):
        super().__init__(problem)
        self.line = line
        # The only other characters that can't start anything are @, ` and %.
        self.hint = _TAB_HINT if "cannot start any token" in problem else ""


def load_yaml(subject: str, hint: str) -> "Any":
    """The module. Raises UsageError about *subject* where it is missing, which is the reader's to install."""
    try:
        import yaml  # lazy: 20 ms, and few have such a file
    except ImportError as e:
        raise UsageError(f"can't read {subject}: the Python package PyYAML is missing", hint) from e
    return yaml


def read_events(yaml: "Any", text: object) -> "Iterator[tuple[str, Any, int]]":
    """Kind, event and line of each event in *text*, a string or what has `read`. Raises YamlError.

    By libyaml where PyYAML has it: a million entries in 4 s instead of 40.
    """
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            yield type(event).__name__, event, event.start_mark.line + 1
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None) or getattr(e, "context_mark", None)
        problem = getattr(e, "problem", None) or getattr(e, "reason", None) or "not YAML"
        raise YamlError(str(problem), None if mark is None else mark.line + 1) from e
