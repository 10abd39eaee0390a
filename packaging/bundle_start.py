"""Finds escp's modules in the one file that `bundle` made of them. A frozen tree runs it before escp.

The file stays open: an escp that runs while an update replaces the tree goes on with modules of its own
version. Nothing is imported that would have to be loaded.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec


def open_above(path, least):
    """A descriptor of at least this number: lower ones may be closed, which escp.process puts right."""
    fds = [posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)]
    while fds[-1] < least:
        fds.append(posix.dup(fds[-1]))
    for fd in fds[:-1]:
        posix.close(fd)
    return fds[-1]


class Bundle:
    """A finder and loader for `sys.meta_path`."""

    def __init__(self, folder):
        self.folder = folder
        self.fd = open_above(f"{folder}/escp/modules", 3)
        head = int.from_bytes(posix.read(self.fd, 4), "little")
        self.index = marshal.loads(posix.read(self.fd, head))
        self.codes = 4 + head

    def find_spec(self, name, path=None, target=None):
        """Of a module of escp's; None for others, and for the native ones."""
        if name not in self.index:
            return None
        spec = ModuleSpec(name, self, is_package=self.index[name][0])
        place = f"{self.folder}/{name.replace('.', '/')}"
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(place)
            place += "/__init__"
        spec.origin = f"{place}.pyc"
        spec.has_location = True
        return spec

    def create_module(self, spec):
        """None: an ordinary one."""

    def exec_module(self, module):
        """Runs the module's code."""
        _, begin, n = self.index[module.__name__]
        exec(marshal.loads(posix.pread(self.fd, n, self.codes + begin)), module.__dict__)


sys.meta_path.insert(0, Bundle(sys._MEIPASS))
