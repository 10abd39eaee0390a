"""Native code: the data plane. Nothing here knows of hosts, options or printing.

One subject a module (docs/architecture.md, Modules); all that are compiled are in one library, _native.
"""

import sys

# importlib.machinery's, without the 0.4 ms of importlib itself.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader
from _imp import extension_suffixes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_LIBRARY = f"{__path__[0]}/_native{extension_suffixes()[0]}"
_IN_PYTHON = ("errors", "_build_info")
_ROOMS = ("base", "crypto", "wire", "io", "files", "send", "walk", "receive", "planes")


class _NativeModules:
    """Finds the modules that were compiled. All are in one library: loading 33 took 3 ms longer."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package == __name__:
            return ModuleSpec(name, None, is_package=True) if module in _ROOMS else None
        if not package.startswith(f"{__name__}."):
            return None
        return ModuleSpec(name, ExtensionFileLoader(name, _LIBRARY), origin=_LIBRARY)


sys.meta_path.insert(0, _NativeModules)
