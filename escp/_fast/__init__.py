"""Native code: the data plane; knows nothing of hosts, options, printing.

One subject a module (docs/architecture.md, Modules); all that are compiled are in one library, _native.
"""

import sys

# importlib.machinery's, without the 0.4 ms of importlib itself.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader
from _imp import create_dynamic, exec_dynamic, extension_suffixes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_LIBRARY = f"{__path__[0]}/_native{extension_suffixes()[0]}"
# The modules of each room. Each cimports only from those before it; tests/repository/test_layering.py looks.
_ROOMS = {
    "base": "events process",
    "crypto": "aead digest sha256 channel",
    "wire": "extras connection payloads told",
    "io": "pages ring dummy_engine posix_engine segments shmem_engine engines "
    "block_grid block_places block_source block_sink",
    "files": "folding bounds owners beneath durable compare filter attributes guard cached lending sizes "
    "given remains journal parts stamps tree death alike commit nodes reason",
    "send": "send_state below gather hard_links flights removal large_files send_kept send_stamps "
    "send_stream read_again send_again send_frames send_setup "
    "send_small questions send_large acks send",
    "walk": "walk_files walk_query walk count",
    "receive": "roots expected receive_state grid reserve receive_kept settle receive_small receive_large "
    "receive_again receive_query receive",
    "planes": "local threads plane relay receive_plane send_plane",
}
_PLANES = f"{__name__}.planes."


class _NativeModules:
    """Finds the modules that were compiled. All are in one library: loading 33 took 3 ms longer."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}.") or name.count(".") != 3:
            return None
        if name.startswith(_PLANES):
            _load_below_planes()
        return _describe(name)


def _describe(name: str) -> ModuleSpec:
    return ModuleSpec(name, ExtensionFileLoader(name, _LIBRARY), origin=_LIBRARY)


def _load_below_planes() -> None:
    """Load what planes need, which is all but planes, from the bottom up: nothing is left to be searched for.

    Otherwise each would import those that it cimports, through all of importlib: 0.05 ms a module.
    """
    for room, names in _ROOMS.items():
        for name in names.split() if room != "planes" else ():
            full = f"{__name__}.{room}.{name}"
            if full not in sys.modules:
                spec = _describe(full)
                sys.modules[full] = module = create_dynamic(spec)
                module.__spec__ = spec
                exec_dynamic(module)
                setattr(sys.modules[f"{__name__}.{room}"], name, module)


def _add_rooms() -> None:
    """Rooms are packages, in which nothing is written in Python."""
    for room in _ROOMS:
        package = type(sys)(f"{__name__}.{room}")
        package.__path__ = []
        sys.modules[package.__name__] = globals()[room] = package


_add_rooms()
sys.meta_path.insert(0, _NativeModules)
