"""What `build.py demo` runs: a real copy of real files over loopback, without ssh, compared afterwards.

The receiver is started directly (`--embedded`); streams, sealing and verification are those of any copy.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.configuration import forget_configuration

ESCP = Path(sys.executable).with_name("escp")
N_SMALL = 2000
NEXT = """\

Next:
  put it into PATH   ln -s {escp} /usr/local/bin/     as root; or
                     mkdir -p ~/.local/bin && ln -s {escp} ~/.local/bin/
  the other host     needs an escp of its own, in its PATH or named with -D. `python3 build.py package`
                     makes deb, rpm and tar.gz, which need no Python; docs/install.md has the ways.
                     Or nothing: after `python3 build.py freeze`, dist/escp/bin/escp --push-agent sends it.
  the first copy     escp FILE HOST:DIRECTORY
"""


def make_files(folder: Path) -> None:
    """A large file, and a tree of small ones with an empty file, an empty directory and an awkward name."""
    with open(folder / "large.bin", "wb") as file:
        for _ in range(256):
            file.write(os.urandom(1 << 20))
    for number in range(N_SMALL):
        path = folder / "tree" / f"{number // 100:02}" / f"file {number}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 7 % 16384))
    (folder / "tree" / "empty directory").mkdir()
    (folder / "tree" / "naïve\nname").write_bytes(b"a name with a newline")


def find_difference(source: Path, target: Path) -> str:
    """'' when both trees have the same names and the same bytes."""
    names = {path.relative_to(source) for path in source.rglob("*")}
    if others := names ^ {path.relative_to(target) for path in target.rglob("*")}:
        return f"{min(others)!s:.200} is only on one side"
    for name in sorted(names):
        if (source / name).is_dir() != (target / name).is_dir():
            return f"{name} is a directory on one side only"
        if (source / name).is_file() and not filecmp.cmp(source / name, target / name, shallow=False):
            return f"{name} has other contents"
    return ""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="escp-demo-") as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        target.mkdir()
        print("demo: making a file of 256 MiB and a tree of small ones", flush=True)
        make_files(source)
        what = [str(source / "large.bin"), str(source / "tree")]
        command = [str(ESCP), "-r", "--embedded", *what, f"localhost:{target}"]
        print("demo: " + " ".join(command), flush=True)
        environment = dict(os.environ)
        forget_configuration(environment)
        if code := subprocess.call(command, env=environment):
            print(f"demo: error: the copy failed with exit code {code}", file=sys.stderr)
            return 1
        if difference := find_difference(source, target):
            print(f"demo: error: the copy differs: {difference}", file=sys.stderr)
            return 1
        sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
    print(
        f"demo: read back and compared: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, all equal; cleaned up"
    )
    print(NEXT.format(escp=ESCP), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
