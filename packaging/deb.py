"""Makes escp_VERSION_ARCH.deb with dpkg-deb, for Debian, Ubuntu and what comes of them."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import stage
from documents import relink
from stage import Release

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CONTROL = """\
Package: escp
Version: {version}
Architecture: {architecture}
Maintainer: the escp authors <escp@localhost>
Installed-Size: {kibibytes}
Depends: {depends}
Recommends: openssh-client
Suggests: openssh-server
Section: net
Priority: optional
Description: copy files between hosts over several encrypted TCP streams
 escp copies like scp, but over several TCP streams, one thread each, sealed
 with AES-128-GCM, and compares what arrived with what was sent. ssh is used
 to log in and to start escp on the other host.
 .
 The program brings its own Python and libraries.
"""


def build_deb(staged: Path, scratch: Path, out: Path, release: Release) -> Path:
    architecture = ARCHITECTURES.get(release.machine, release.machine)
    root = scratch / "deb"
    usr = root / "usr"
    shutil.copytree(staged, usr, symlinks=True)
    share, documents = usr / "share", usr / "share" / "doc" / "escp"
    stage.compress_pages(share)
    (share / "zsh" / "site-functions").rename(share / "zsh" / "vendor-completions")  # Debian's place
    documents.joinpath("LICENSE").rename(documents / "copyright")
    documents.joinpath("CHANGELOG.md").rename(documents / "changelog")
    stage.compress(documents / "changelog")
    relink(documents, {"LICENSE": "copyright", "CHANGELOG.md": "changelog.gz"})
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    depends = [f"libc6 (>= {release.glibc})", *(stage.HOST_LIBRARIES[name][0] for name in release.libraries)]
    control = CONTROL.format(
        version=release.version, architecture=architecture, depends=", ".join(depends),
        kibibytes=sum((path.stat().st_size + 1023) // 1024 for path in files),
    )  # fmt: skip
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(control)
    (root / "DEBIAN" / "md5sums").write_text("".join(sums))
    stage.finish(root, release)
    path = out / f"escp_{release.version}_{architecture}.deb"
    # xz: dpkg of Debian 11 and earlier can't read zstd. One thread: several would make other blocks.
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(release.epoch))
    command = ["dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zxz", "--build", str(root), str(path)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return path
