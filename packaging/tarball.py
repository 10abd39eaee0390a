"""Makes escp-VERSION-linux-ARCH.tar.gz: one folder, escp-VERSION, that runs wherever it is unpacked."""

import gzip
import tarfile
from pathlib import Path

from stage import Release


def build_tarball(staged: Path, out: Path, release: Release) -> Path:
    name = f"escp-{release.version}"
    return pack(staged, name, out / f"{name}-linux-{release.machine}.tar.gz", release.epoch)


def pack(folder: Path, name: str, path: Path, epoch: int) -> Path:
    """All of *folder* as *name*, as root's and of one date."""

    def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = epoch
        member.mode = 0o755 if member.mode & 0o100 else 0o644
        return member

    # tarfile sorts a folder's names; gzip would put its own time and the file's name into its head.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder, name, filter=as_root)
    return path
