"""Which system packages escp is built and tested with, and how to get them: used by build.py.

Runs under the system's Python, with the standard library only.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections import namedtuple
from pathlib import Path

# groups: build.py's verbs that need it, "all" of them; "chroot": tests of a release, where one can be made;
# "headers" and "venv": where the Python that runs us lacks them; or a machine.
# An empty name: that system has it not, and need not.
# elsewhere: the variable that says "I have it in another place".
Package = namedtuple("Package", "debian rhel groups elsewhere")

RHEL_PYTHON = f"python3.{sys.version_info[1]}"
PACKAGES = [
    Package("gcc", "gcc", "all", "CC"),
    Package("libc6-dev", "glibc-devel", "all", "CC"),
    Package("pkg-config", "pkgconf-pkg-config", "all", ""),
    Package("libssl-dev", "openssl-devel", "all", "ESCP_CRYPTO_PREFIX"),
    Package("libzstd-dev", "libzstd-devel", "all", "ESCP_ZSTD_PREFIX"),
    Package("libxxhash-dev", "xxhash-devel", "all", "ESCP_XXHASH_PREFIX"),
    Package("libipsec-mb-dev", "intel-ipsec-mb-devel", "x86_64", "ESCP_IPSEC_MB_PREFIX"),
    Package("python3-dev", RHEL_PYTHON + "-devel", "headers", ""),
    Package("python3-venv", RHEL_PYTHON, "venv", ""),
    Package("openssh-client", "openssh-clients", "all", ""),
    Package("openssh-server", "openssh-server", "test bench mutations", ""),
    Package("iproute2", "iproute", "test mutations", ""),
    Package("nftables", "nftables", "test mutations", ""),
    Package("strace", "strace", "test mutations", ""),
    Package("xfsprogs", "xfsprogs", "test mutations", ""),  # a file system with reflinks
    Package("mandoc", "mandoc", "test", ""),  # RHEL: from EPEL
    Package("bash-completion", "bash-completion", "test", ""),
    Package("zsh", "zsh", "test mutations", ""),
    Package("fish", "fish", "test mutations", ""),  # RHEL: from EPEL
    # With fish, shells that a remote user may have: all must read what --push-agent hands to ssh alike.
    Package("busybox", "busybox", "test mutations", ""),  # RHEL: from EPEL
    Package("tcsh", "tcsh", "test mutations", ""),
    # The commands of docs/install.md are run: modules, signed repositories, man.
    Package("lua5.4", "lua", "test", ""),
    Package("tcl", "tcl", "test", ""),
    Package("man-db", "man-db", "test", ""),
    Package("gnupg", "gnupg2", "test", ""),
    Package("apt-utils", "", "test", ""),
    Package("createrepo-c", "createrepo_c", "test", ""),
    # `package` makes an rpm with the first two, and reads licences out of the others.
    Package("rpm", "rpm-build", "test package", ""),
    Package("cpio", "cpio", "test package", ""),
    Package("libyaml-0-2", "libyaml", "test package", ""),
    Package("python3-minimal", RHEL_PYTHON, "test package", ""),
    Package("debian-archive-keyring", "", "release", ""),
    Package("dpkg-dev", "", "release", ""),
    Package("libffi-dev", "", "release", ""),
    Package("make", "", "release", ""),
    Package("zlib1g-dev", "", "release", ""),
    Package("debootstrap", "", "chroot", ""),
]
OPTIONAL = {"libipsec-mb-dev"}  # without it libcrypto seals everything
SERVICES = {"openssh-server": ("ssh", "sshd")}  # what a package would start at the next boot, by system


class CannotInstall(Exception):
    """The caller must install something himself; the message says what and how."""


def find_system():
    """'debian', 'rhel' or '' by the tools that are there."""
    if shutil.which("dpkg-query") and shutil.which("apt-get"):
        return "debian"
    return "rhel" if shutil.which("rpm") and shutil.which("dnf") else ""


def can_release(os_release=Path("/etc/os-release")):
    """Whether this is Debian 12: static libraries of newer systems need a newer glibc, others have none."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return False
    return "ID=debian" in lines and 'VERSION_ID="12"' in lines


def list_wanted(verb):
    """All packages that build.py's *verb* needs on this machine, there or not."""
    groups = {"all", platform.machine(), verb}
    if verb == "test" and can_release():
        groups |= {"release", "chroot"}
    # Asked of Python itself: pyenv's has both, Debian's gets them from two packages.
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        groups.add("headers")
    if importlib.util.find_spec("ensurepip") is None:
        groups.add("venv")
    return [
        package
        for package in PACKAGES
        if groups.intersection(package.groups.split()) and not os.environ.get(package.elsewhere)
    ]


def list_missing(wanted, system):
    """Those that the package database does not have; on an unknown system, what Python itself lacks."""
    if not system:
        return [package for package in wanted if package.groups in ("headers", "venv")]
    wanted = [package for package in wanted if getattr(package, system)]
    names = [getattr(package, system) for package in wanted]
    query = ["rpm", "-q", "--qf", "%{NAME} ii\\n"]
    if system == "debian":
        query = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Abbrev}\\n"]
    done = subprocess.run(query + names, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    present = {words[0] for words in lines if words[1:] == ["ii"]}
    return [package for package in wanted if getattr(package, system) not in present]


def find_root_prefix():
    """The words to put before a command that needs root; None where there is no way."""
    if os.geteuid() == 0:
        return []
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if shutil.which("sudo") and subprocess.call(["sudo", "-n", "true"], **silent) == 0:
        return ["sudo", "-n"]
    return None


def install_missing(verb, run, say):
    """Installs what *verb* needs and is missing. No service starts, now or at the next boot.

    run(*command, what=...) runs a command and returns whether it succeeded, having shown its output if not;
    say(text) tells what is under way. Raises CannotInstall.
    """
    system = find_system()
    missing = list_missing(list_wanted(verb), system)
    required = [package for package in missing if package.debian not in OPTIONAL]
    if not missing:
        return
    prefix = find_root_prefix() if system else None
    if prefix is None and not required:
        return  # setup.py says what it does without
    how_to = (
        "  Debian:  apt-get install " + " ".join(package.debian for package in missing) + "\n"
        "  RHEL:    dnf install " + " ".join(package.rhel for package in missing if package.rhel)
    )
    if prefix is None:
        raise CannotInstall("system packages are missing that only root can install:\n" + how_to)
    names = [getattr(package, system) for package in missing]
    say("installing system packages: " + " ".join(names))
    if system == "debian":
        is_done = _apt_install(prefix, names, run, say)
    else:
        is_done = run(*prefix, "dnf", "-y", "install", *names, what="dnf install")
        if not is_done and 0 < len(required) < len(missing):
            say("trying again without what is optional")
            names = [package.rhel for package in required]
            is_done = run(*prefix, "dnf", "-y", "install", *names, what="dnf install")
    _disable_services(prefix, system, missing, run)
    if not is_done and required:
        raise CannotInstall("system packages could not be installed (see above):\n" + how_to)


def _disable_services(prefix, system, installed, run):
    """Distributions enable some when they are installed. The tests start a server themselves."""
    for package in installed:
        for service in SERVICES.get(package.debian, ())[system == "rhel" :][:1]:
            units = [f"{service}.service"] + ([f"{service}.socket"] if system == "debian" else [])
            commands = [
                ("systemctl", ["systemctl", "disable", *units]),
                (
                    "deb-systemd-helper",
                    ["deb-systemd-helper", "disable", *units],
                ),  # where systemd isn't there yet
                ("update-rc.d", ["update-rc.d", service, "disable"]),
            ]
            for program, command in commands:
                if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                    run(*prefix, *command, what=f"keeping {service} disabled")


def _apt_install(prefix, names, run, say):
    # RUNLEVEL and SYSTEMD_OFFLINE keep a newly installed sshd from being started, by sysvinit and by systemd:
    # the tests start one of their own, on a loopback port.
    settings = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "SYSTEMD_OFFLINE=1"]
    apt = [*prefix, "env", *settings, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "-y", "--no-install-recommends", *names]
    if any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        if run(*install, what="apt-get install"):
            return True
        say("trying again with fresh package lists")
    return run(*apt, "update", what="apt-get update") and run(*install, what="apt-get install")
