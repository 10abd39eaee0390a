"""Writes the licences of all components into a folder: NAME/… as they were found, and a list of them."""

import shutil
from pathlib import Path

from components import Component, UnknownPart

HEAD = """\
escp is BSD-3-Clause. Its packages contain the following, each under its own licence; the texts lie in the
folders beside this file. sbom.cdx.json says the same to programs.

"""
NOTES = {
    "PyInstaller": "only its bootloader, which the exception in its licence lets anybody embed",
    "zig": "only its compiler-rt",
    "libzstd": "used under BSD-3-Clause",
}


def write_licences(components: list[Component], folder: Path) -> None:
    lines = []
    for component in components:
        copy_texts(component, folder / component.name)
        note = [f"in {component.inside}"] if component.inside else []
        note += [NOTES[component.name]] if component.name in NOTES else []
        line = f"{component.name:18} {component.version:12} {component.licence}"
        lines.append(line + (f" ({'; '.join(note)})" if note else ""))
    (folder / "LIST").write_text(HEAD + "\n".join(lines) + "\n")


def copy_texts(component: Component, folder: Path) -> None:
    if not component.texts:
        raise UnknownPart(f"{component.name} {component.version} came without a licence")
    folder.mkdir(parents=True)
    for path in component.texts:
        if not path.is_file() or path.stat().st_size == 0:
            raise UnknownPart(
                f"no licence of {component.name} {component.version}: {path} is missing or empty"
            )
        shutil.copyfile(path, folder / path.name)
