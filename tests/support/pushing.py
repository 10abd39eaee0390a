"""A host for `--push-agent`: an sshd whose user has the home, the shell and the tools that a test wants.

sshd's ForceCommand is a script that the test writes; it hands what the client asked for to the user's shell,
as sshd itself does. The trees that are pushed are small: a shell script that starts the escp under test.
"""

import hashlib
import os
import shlex
import shutil
from pathlib import Path

from tests.support.command import AGENT_COMMAND, ROOT, Done, Escp
from tests.support.leftovers import MARK
from tests.support.sshd import Sshd

MANIFEST = "lib/escp/MANIFEST"


def start_sshd(folder: Path) -> Sshd:
    return Sshd(folder, settings=f"ForceCommand {folder}/login")


def write_tree(folder: Path, program: str | bytes | None = None, n_bytes: int = 300_000) -> str:
    """A frozen tree in *folder*; returns its identity. *program*: None for one that starts escp."""
    internal = folder / "lib" / "escp" / "_internal"
    internal.mkdir(parents=True)
    if program is None:
        program = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {shlex.join(AGENT_COMMAND)} "$@"\n'
    (folder / "lib/escp/escp").write_bytes(program.encode() if isinstance(program, str) else program)
    (folder / "lib/escp/escp").chmod(0o755)
    (internal / "library.so").write_bytes(os.urandom(n_bytes))
    (internal / "deep").mkdir()
    (internal / "deep" / "empty").touch()
    (folder / "bin").mkdir()
    (folder / "bin/escp").symlink_to("../lib/escp/escp")
    return write_manifest(folder)


def write_manifest(folder: Path) -> str:
    names = sorted(path.relative_to(folder) for path in folder.rglob("*")
                   if path.is_file() and not path.is_symlink())  # fmt: skip
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
             for name in names if str(name) != MANIFEST]  # fmt: skip
    (folder / MANIFEST).write_text("".join(lines))
    return find_identity(folder)


def find_identity(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


class PushedHost:
    """What the ssh user finds there; `write()` makes changes count."""

    def __init__(self, escp: Escp, tree: Path | None = None):
        self.escp = escp
        self.home = escp.home
        self.cache = self.home / ".cache" / "escp"
        self.tree = tree or escp.folder / "tree"
        self.identity = find_identity(self.tree) if tree else write_tree(self.tree)
        self.shell = "/bin/sh"
        self.path = os.environ["PATH"]
        self.lines: list[str] = []  # of the user's login script
        self.write()

    def write(self) -> None:
        home, mark, path = map(shlex.quote, (str(self.home), self.escp.mark, self.path))
        start = f'exec {self.shell} -c "$SSH_ORIGINAL_COMMAND"'
        text = f"""\
#!/bin/sh
unset XDG_CACHE_HOME
export HOME={home} {MARK}={mark} ESCP_CONFIG= PATH={path}
cd "$HOME"
{os.linesep.join(self.lines)}
{start}
"""
        login = self.escp.sshd.folder / "login"
        login.with_suffix(".new").write_text(text)
        login.with_suffix(".new").chmod(0o755)
        login.with_suffix(".new").replace(login)

    @property
    def words(self) -> tuple[str | Path, ...]:
        return ("--push-agent", "--agent-tree", self.tree)

    def run(self, *words: str | bytes | Path, **start: object) -> Done:
        return self.escp.run(*words, login=self.words, **start)

    def copy(self, *words: str | bytes | Path, **start: object) -> Done:
        return self.escp.copy(*words, login=self.words, **start)

    def fail(self, code: int, *words: str | bytes | Path, **start: object) -> Done:
        done = self.escp.fail(code, *words, login=self.words, **start)
        assert done.hint, done.err
        return done

    def clean(self, *words: str, code: int = 0) -> Done:
        done = self.escp.run("--agent-tree", self.tree, "--clean-agents", *(words or ("box",)), login=(),
                             has_ports=False)  # fmt: skip
        assert done.code == code, (done.code, done.out, done.err)
        return done

    def list_cache(self) -> list[str]:
        return sorted(os.listdir(self.cache)) if self.cache.exists() else []

    def is_in_place(self) -> bool:
        """The tree that was pushed is there, whole, and nothing else is."""
        if self.list_cache() != [self.identity]:
            return False
        there = self.cache / self.identity
        names = sorted(str(path.relative_to(self.tree)) for path in self.tree.rglob("*"))
        return names == sorted(str(path.relative_to(there)) for path in there.rglob("*")) and all(
            (there / name).read_bytes() == (self.tree / name).read_bytes()
            for name in names if (self.tree / name).is_file()
        )  # fmt: skip

    def replace_sh(self, sh: str) -> None:
        """Another one than this host's /bin/sh, as other systems have it."""
        program, option = sh.split()
        self.lines.append(
            "case $SSH_ORIGINAL_COMMAND in 'exec /bin/sh '*) eval \"exec "
            f'{shutil.which(program)} {option} ${{SSH_ORIGINAL_COMMAND#exec /bin/sh }}";; esac'
        )
        self.write()

    def lack(self, *tools: str) -> None:
        """A PATH without these."""
        folder = self.escp.folder / "tools"
        folder.mkdir()
        for place in ("/usr/bin", "/bin"):
            for name in os.listdir(place):
                if name not in tools and not (folder / name).is_symlink():
                    (folder / name).symlink_to(f"{place}/{name}")
        self.path = str(folder)
        self.write()

    def fake(self, name: str, script: str) -> None:
        """A tool of that name that comes first in the PATH."""
        folder = self.escp.folder / "fakes"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        self.path = f"{folder}:{self.path}"
        self.write()
