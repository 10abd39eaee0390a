"""Writes the licences of all components into a folder: NAME/… as they were found, and a list of them."""

import shutil
from pathlib import Path

from components import Component, UnknownPart

HEAD = """\
escp is BSD-3-Clause. Its packages contain the following, each under its own licence; the texts lie in the folders
beside this file. sbom.cdx.json says the same to programs.

"""
NOTES = {
    "PyInstaller": "only its bootloader, which the exception in its licence lets anybody embed",
    "libzstd": "used under BSD-3-Clause",
}


def write_licences(components: list[Component], folder: Path) -> None:
    lines = []
    for component in components:
        texts = [path for path in component.texts if path.is_file() and path.stat().st_size > 0]
        if not texts or len(texts) < len(component.texts):
            raise UnknownPart(f"no licence text of {component.name} {component.version}")
        target = folder / component.name
        target.mkdir(parents=True)
        for path in texts:
            shutil.copyfile(path, target / path.name)
        note = [f"in {component.inside}"] if component.inside else []
        note += [NOTES[component.name]] if component.name in NOTES else []
        line = f"{component.name:18} {component.version:12} {component.licence}"
        lines.append(line + (f" ({'; '.join(note)})" if note else ""))
    (folder / "LIST").write_text(HEAD + "\n".join(lines) + "\n")
