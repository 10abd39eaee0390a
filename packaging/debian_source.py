"""Sources from Debian's archive, as `apt-get source` gets them; the system's apt settings stay as they are.

apt checks the archive's signature, the index against it, and each file against the index. What Debian has
patched since (security fixes above all) is applied.
"""

import subprocess
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVES = {"debian": "{suite}", "debian-security": "{suite}-security"}
MIRROR = "http://deb.debian.org"  # what is signed needs no TLS


def fetch_source(package: str, suite: str, folder: Path) -> str:
    """The patched source of Debian's *package* in FOLDER/source; returns its version."""
    apt = _private_apt(folder / "apt", suite)
    _run([*apt, "-q", "update"], folder, f"fetching the package lists of Debian's {suite}")
    _run([*apt, "-q", "source", "--download-only", package], folder, f"fetching the source of {package}")
    (description,) = folder.glob("*.dsc")
    # It says that it lacks the maintainer's key: apt has checked the same files against the archive's.
    _run(["dpkg-source", "-x", str(description), "source"], folder, f"unpacking {package}")
    ask = ["dpkg-parsechangelog", "-l", "source/debian/changelog", "-S", "Version"]
    return _run(ask, folder, f"reading the changelog of {package}").strip()


def _private_apt(folder: Path, suite: str) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    lines = [
        f"deb-src [signed-by={KEYRING}] {MIRROR}/{archive} {name.format(suite=suite)} main\n"
        for archive, name in ARCHIVES.items()
    ]
    (folder / "sources.list").write_text("".join(lines))
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",  # _apt could not write here; and nobody needs to be root
        "Acquire::Retries": "3",
        "Acquire::Languages": "none",
    }
    return ["apt-get", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]


def _run(command: list[str], folder: Path, what: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}build: error: {what} failed; its output is above")
    return done.stdout
