"""The pages that are given away: README.md and all that it names, in one folder, with links for that."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_KINDS = {".md", ".example", ".json"}
_NAMED = re.compile(r"(?<![\w/.-])(?:docs|\.\.)/(?=([\w.-]+))")  # a page, from where another one is


def list_documents() -> list[Path]:
    """The pages, as they are in the repository. No two have the same name."""
    pages = [path for path in sorted((ROOT / "docs").iterdir()) if path.suffix in _KINDS]
    beside = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
    return [*(ROOT / name for name in beside), *pages]


def lay_out(folder: Path) -> None:
    """Copy all pages into *folder*, where they are beside one another."""
    pages = list_documents()
    names = {path.name for path in pages}
    for path in pages:
        if path.suffix in _KINDS:
            text = _NAMED.sub(
                lambda found: "" if found[1].rstrip(".") in names else found[0], path.read_text()
            )
            (folder / path.name).write_text(text)
        else:
            shutil.copyfile(path, folder / path.name)


def relink(folder: Path, new_names: dict[str, str]) -> None:
    """Mend the links to pages that a distribution calls otherwise."""
    for path in folder.glob("*.md"):
        text = path.read_text()
        for old, new in new_names.items():
            text = text.replace(f"[{old}]({old})", f"[{new}]({new})")
        path.write_text(text)
