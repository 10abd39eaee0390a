"""Nextflow for the tests: the one in PATH, else one made of its jars, which are kept in build/."""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.command import ROOT

PINS = ROOT / "tests" / "examples" / "nextflow.txt"
FOLDER = ROOT / "build" / "test-nextflow"
SERVER = "https://repo1.maven.org/maven2"
LEAST_JAVA = 11
# Groovy and Kryo look into the library's classes.
OPENED = ("lang", "io", "nio", "nio.file.spi", "net", "util", "util.concurrent", "util.concurrent.locks")


class LacksNextflow(Exception):
    """What is missing here."""


def find_nextflow() -> Path:
    """The folder of a `nextflow` that runs offline, with no plugins. Raises LacksNextflow."""
    if there := shutil.which("nextflow"):
        return Path(there).parent
    if "ESCP_TEST_NEXTFLOW" not in os.environ:
        raise LacksNextflow("there is no nextflow here: .ci/run asks for one")
    _check_java()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jars = [_fetch(*line.split()) for line in PINS.read_text().splitlines() if not line.startswith("#")]
        return _write_launcher(jars)


def _check_java() -> None:
    try:
        done = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        raise LacksNextflow(f"there is no Java here ({e})") from e
    version = done.stderr.split('"')[1]  # "17.0.15", and "1.8.0_402" of the old ones
    if int(version.split(".")[0]) < LEAST_JAVA:
        raise LacksNextflow(f"Java {version} is too old for Nextflow")


def _fetch(digest: str, path: str) -> Path:
    jar = FOLDER / Path(path).name
    if not jar.exists():
        try:
            with urllib.request.urlopen(f"{SERVER}/{path}", timeout=60) as answer:
                contents = answer.read()
        except (urllib.error.URLError, OSError) as e:
            raise LacksNextflow(f"{path} can't be had from Maven Central ({e})") from e
        assert hashlib.sha256(contents).hexdigest() == digest, f"{path} is another one than {PINS.name} says"
        part = jar.with_suffix(".part")
        part.write_bytes(contents)
        part.rename(jar)
    return jar


def _write_launcher(jars: list[Path]) -> Path:
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED]
    opened += [f"--add-opens=java.base/sun.nio.{package}=ALL-UNNAMED" for package in ("ch", "fs")]
    words = ["java", *opened, "-cp", ":".join(map(str, jars)), "nextflow.cli.Launcher"]
    launcher = FOLDER / "bin" / "nextflow"
    launcher.parent.mkdir(exist_ok=True)
    home = shlex.quote(f"NXF_HOME={FOLDER / 'home'}")
    settings = f"NXF_OFFLINE=true NXF_PLUGINS_DEFAULT=false NXF_ENABLE_VIRTUAL_THREADS=false {home}"
    launcher.write_text(f'#!/bin/sh\nexec env {settings} {shlex.join(words)} "$@"\n')
    launcher.chmod(0o755)
    return launcher.parent
