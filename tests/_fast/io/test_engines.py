"""A further engine is a module and a line of the table: nobody else knows which engines there are."""

import re
from pathlib import Path

import pytest

from escp._fast.io.engines import engine_names
from escp.options.values import ENGINES
from tests.support.planes import send_plane

FAST = Path(__file__).parents[3] / "escp" / "_fast"


def test_table_has_what_the_option_offers():
    assert engine_names() == list(ENGINES)


def test_nothing_but_the_table_names_an_engine():
    modules = {path.stem for path in FAST.glob("io/*_engine.pyx")}
    assert modules == {f"{name}_engine" for name in ENGINES}
    naming = {
        path.relative_to(FAST).stem
        for path in FAST.rglob("*.p[yx][xdi]*")
        if re.search("|".join(modules), re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL))
    }
    assert naming == modules | {"engines"}


def test_unknown_engine_is_refused():
    with pytest.raises(KeyError, match="magic"):
        send_plane(n_streams=1, block_bytes=1 << 18, engine="magic")
