"""The one argument of scripts here: a folder."""

import argparse
from pathlib import Path


def read_folder(about: str | None, default: Path | None = None) -> Path:
    """The command's folder, absolute; *about*: the script's own words, for --help."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if default is None:
        parser.add_argument("folder", type=Path)
    else:
        parser.add_argument("folder", type=Path, nargs="?", default=default, help=f"default: {default}")
    folder: Path = parser.parse_args().folder
    return folder.resolve()
