"""Makes escp-VERSION-1.ARCH.rpm with rpmbuild, for RHEL and what is like it, and SUSE."""

import os
import shutil
import subprocess
from pathlib import Path

import stage
from stage import Release

# Nothing is looked at or changed by rpm's scripts: they would strip, offer the bundled libraries to other
# packages, and ask for libraries that are bundled. gzip: rpm of RHEL 7 and 8 can read it.
SPEC = """\
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global __strip /bin/true
%global _build_id_links none
%global _buildhost reproducible
%global _binary_payload w9.gzdio
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
Name: escp
Version: {version}
Release: 1
Summary: Copy files between hosts over several encrypted TCP streams
License: BSD-3-Clause
Group: Applications/Internet
AutoReqProv: no
{requires}
Recommends: openssh-clients

%description
escp copies like scp, but over several TCP streams, one thread each, sealed
with AES-128-GCM, and compares what arrived with what was sent. ssh is used to
log in and to start escp on the other host. The program brings its own Python
and libraries.

%install
mkdir -p %{{buildroot}}
cp -a {root}/. %{{buildroot}}/

%files
%defattr(-,root,root,-)
{files}
"""


def build_rpm(staged: Path, scratch: Path, out: Path, release: Release) -> Path:
    root = scratch / "rpm-root"
    shutil.copytree(staged, root / "usr", symlinks=True)
    stage.compress_pages(root / "usr" / "share")
    stage.finish(root, release)
    requires = [f"glibc >= {release.glibc}", *(stage.HOST_LIBRARIES[name][1] for name in release.libraries)]
    spec = scratch / "escp.spec"
    spec.write_text(
        SPEC.format(
            version=release.version, root=root, requires="\n".join(f"Requires: {need}" for need in requires),
            files="\n".join(_list_files(root)),
        )
    )  # fmt: skip
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(release.epoch), LC_ALL="C")
    settings = {
        "_topdir": scratch / "rpmbuild",
        "_dbpath": scratch / "rpmdb",
        "_tmppath": scratch,
        "_rpmdir": out,
    }
    settings["_rpmfilename"] = "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"
    defines = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
    command = ["rpmbuild", "--quiet", "-bb", "--target", f"{release.machine}-linux", *defines, str(spec)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return out / f"escp-{release.version}-1.{release.machine}.rpm"


def _list_files(root: Path) -> list[str]:
    """Every file, and the folders that are escp's own: those of the system belong to nobody twice."""
    lines = []
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        if not path.is_dir() or path.is_symlink():
            lines.append(f'"{name}"')
        elif name.startswith(("/usr/lib/escp", "/usr/share/doc/escp")):
            lines.append(f'%dir "{name}"')
    return lines
