"""argparse without gettext. To look for translations, of which there are none, takes 2 ms at every start.

gettext and locale, which argparse would bring along, are loaded for nothing else here.
"""

import sys


class _Untranslated:
    """What argparse imports from gettext."""

    @staticmethod
    def gettext(text: str) -> str:
        return text

    @staticmethod
    def ngettext(singular: str, plural: str, n: int) -> str:
        return singular if n == 1 else plural


if "argparse" in sys.modules or "gettext" in sys.modules:
    import argparse
else:
    sys.modules["gettext"] = _Untranslated  # type: ignore[assignment]
    try:
        import argparse
    finally:
        del sys.modules["gettext"]  # whoever wants it later gets the real one

__all__ = ["argparse"]
