"""Which two sources fall together at the target: for the message about the one that was not copied.

The receiver knows names at the target only, and no more than that one was given before. Here, with the
sources, both can be named: two that were to get one name, or that differ in case or accents only.
"""

import os
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def fold(name: bytes) -> str:
    """The name without case and accents, as file systems may compare it that don't tell `A` from `a`."""
    plain = unicodedata.normalize("NFKD", os.fsdecode(name)).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).rstrip(" .")


def find_twins(sources: "Iterable[tuple[bytes, bytes]]", path: bytes) -> tuple[bytes, ...]:
    """The source that was not copied, and the one that has its name, *path* at the target.

    () where that is unclear. *sources*: each with its path at the target.
    """
    found = [place for source, name in sources for place in _find_below(source, name, path)]
    own = [place for place, has_name in found if has_name]
    others = [place for place, has_name in found if not has_name]
    if len(own) > 1:
        return own[-1], own[0]
    return (own[0], others[0]) if own and others else ()


def _find_below(source: bytes, name: bytes, path: bytes) -> list[tuple[bytes, bool]]:
    """What of *source*, which becomes *name*, becomes *path*, and whether in the same spelling."""
    parts = path.split(b"/") if path else []
    names = name.split(b"/") if name else []
    if [fold(part) for part in names] != [fold(part) for part in parts[: len(names)]]:
        return []
    found = [(source, names == parts[: len(names)])]
    for part in parts[len(names) :]:
        found = [
            (os.path.join(place, entry), has_name and entry == part)
            for place, has_name in found
            for entry in _list(place)
            if fold(entry) == fold(part)
        ]
    return [(place, has_name) for place, has_name in found if os.path.lexists(place)]


def _list(place: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []
