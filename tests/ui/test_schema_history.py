"""docs/json.schema.json against what was given away before: schema 1 may get more, and loses nothing.

There has been no release yet. `tests/vectors/json` has the schema as it was first written (schema-1), and
lines that an escp of that number wrote. A release adds its own.
"""

import json
from pathlib import Path

import pytest

from escp.ui.jsonlines import SCHEMA as NUMBER
from tests.support.schema import SCHEMA, find_faults

FOLDER = Path(__file__).parents[1] / "vectors" / "json"
STREAMS = sorted(FOLDER.glob("*.jsonl"))
OLD = {
    int(path.stem.partition("-")[2]): json.loads(path.read_text()) for path in FOLDER.glob("schema-*.json")
}


def find_losses(old: dict, new: dict, where: str = "") -> list[str]:
    """What a reader of *old* could miss, or could not understand, in lines of *new*."""
    losses = []
    for name, one in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            losses.append(f"{where}.{name} is gone")
            continue
        losses += find_losses(one, new["properties"][name], f"{where}.{name}")
    losses += [
        f"{where}.{name} may be missing" for name in old.get("required", []) if name not in new["required"]
    ]
    if "const" in old and new.get("const") != old["const"]:
        losses.append(f"{where} is another constant")
    if "type" in old and not set(_listed(new.get("type"))) <= set(_listed(old["type"])):
        losses.append(f"{where} may have another type")
    if "items" in old:
        losses += find_losses(old["items"], new.get("items", {}), f"{where}[]")
    return losses


def _listed(kinds: str | list[str] | None) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds or ["anything"]


def test_schema_of_this_number_has_lost_nothing():
    old = OLD[NUMBER]["$defs"]
    losses = [
        loss
        for kind, one in old.items()
        for loss in find_losses(one, SCHEMA["$defs"].get(kind, {"required": []}), kind)
    ]
    assert losses == [], "raise SCHEMA in escp/ui/jsonlines.py, or keep the field"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["properties"].pop("bytes"), "item.bytes is gone"),
        (lambda one: one["required"].remove("bytes"), "item.bytes may be missing"),
        (
            lambda one: one["properties"]["bytes"].update(type=["integer", "null"]),
            "item.bytes may have another type",
        ),
    ],
)
def test_a_loss_is_found(change, said):
    old = OLD[NUMBER]["$defs"]["item"]
    new = json.loads(json.dumps(old))
    change(new)
    assert said in find_losses(old, new, "item")


def test_the_number_stands_in_the_schema_and_its_page():
    assert SCHEMA["$defs"]["start"]["properties"]["schema"]["const"] == NUMBER
    assert SCHEMA["$defs"]["result"]["properties"]["schema"]["const"] == NUMBER
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    assert f"| `schema` | int | of these lines: {NUMBER} |" in page and "grows only when" in page


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_streams_of_earlier_escps_are_of_this_schema(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-1]["type"] == "result"
    if lines[-1]["schema"] != NUMBER:
        return  # of another number, which its readers know
    for line in lines:
        faults = find_faults(line, SCHEMA["$defs"][line["type"]], line["type"])
        newer = [fault for fault in faults if fault.endswith(" is missing")]  # fields that came since
        old = OLD[NUMBER]["$defs"].get(line["type"], {"required": []})["required"]
        assert [fault for fault in faults if fault not in newer] == []
        assert not any(fault == f"{line['type']}: {name} is missing" for fault in newer for name in old)


def test_there_are_streams():
    assert STREAMS
