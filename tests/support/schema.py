"""docs/json.schema.json, and as much of JSON Schema as it uses. Strict: what it does not name is wrong."""

import json
import re
from pathlib import Path

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "json.schema.json").read_text())
_TYPES = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}
_WORDS = {"type", "const", "enum", "pattern", "minimum", "maximum", "properties", "required", "items"}


def find_faults(value: object, schema: dict, where: str = "") -> list[str]:
    """What is wrong with *value*, by the schema, or with the schema itself."""
    faults = [f"{where}: no word of this schema: {word}" for word in schema.keys() - _WORDS]
    types = schema.get("type", [])
    if types and not any(_is_of(value, one) for one in ([types] if isinstance(types, str) else types)):
        return [*faults, f"{where}: {value!r} is not {types}"]
    if "const" in schema and value != schema["const"]:
        faults.append(f"{where}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        faults.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        faults.append(f"{where}: {value!r} does not look like {schema['pattern']}")
    if isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        faults.append(f"{where}: {value} is out of range")
    if isinstance(value, list) and "items" in schema:
        for i, one in enumerate(value):
            faults += find_faults(one, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        faults += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        faults += [f"{where}: {name} is not in the schema" for name in value if name not in known]
        for name, one in value.items():
            faults += find_faults(one, known.get(name, {}), f"{where}.{name}")
    return faults


def _is_of(value: object, name: str) -> bool:
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])


def check_lines(text: str) -> list[dict]:
    """The objects of an output, each of them as the schema says; the last, and only that, is a result."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        kind = line.get("type")
        assert kind in SCHEMA["$defs"], f"the schema has no {kind!r}"
        faults = find_faults(line, SCHEMA["$defs"][kind], kind)
        assert not faults, (faults, line)
    assert [line["type"] for line in lines].count("result") == 1 and lines[-1]["type"] == "result", lines
    return lines
