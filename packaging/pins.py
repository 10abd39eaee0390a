"""Python packages as the project pins them: versions and hashes of its lists, into folders of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ["requirements.txt", "requirements-build.txt", "requirements-dev.txt"]


def pip_install(folder: Path, requirements: Path, *options: str, env: dict[str, str] | None = None) -> None:
    """Into FOLDER, with the user's settings of pip: wheels, unless the options name an exception."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
    pip += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--target", str(folder)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(
        [*pip, *options, "-r", str(requirements)], cwd=ROOT, env=dict(os.environ, **(env or {})), text=True,
        errors="replace", check=False, **streams,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout}build: error: pip install failed; its output is above")


def read_pins() -> dict[str, str]:
    """The project's requirements by name, with versions and hashes."""
    text = "\n".join((ROOT / name).read_text() for name in LISTS)
    entries = re.split(r"^(?=[\w.-]+==)", re.sub(r"^ *#.*\n", "", text, flags=re.M), flags=re.M)[1:]
    return {entry.partition("==")[0]: entry for entry in entries}
