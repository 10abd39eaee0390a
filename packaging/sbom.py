"""Writes what a frozen tree is made of as a CycloneDX 1.6 document (https://cyclonedx.org/docs/1.6/json/)."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from components import Component

NAMESPACE = uuid.UUID("5b0dfd10-4c53-4f0e-9f0c-6a1f3a3a8d55")  # of serial numbers of escp's documents


def build_sbom(components: list[Component], tree_digest: str, epoch: int) -> dict:
    """*tree_digest*: SHA-256 of the tree's MANIFEST, which names exactly this tree."""
    whole, *parts = components
    described = _describe(whole, kind="application")
    described["hashes"] = [_hash(tree_digest)]
    described["properties"] = [{"name": "escp:sha256-of", "value": "lib/escp/MANIFEST"}]
    inside = {
        component.name: [part.purl for part in parts if part.inside == component.name]
        for component in components
    }
    top = [part.purl for part in parts if part.inside in ("", whole.name)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, tree_digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": described,
        },
        "components": [_describe(part, kind="library") for part in parts],
        "dependencies": [
            {"ref": whole.purl, "dependsOn": top},
            *({"ref": part.purl, "dependsOn": inside[part.name]} for part in parts),
        ],
    }


def _describe(component: Component, kind: str) -> dict:
    entry = {
        "type": kind,
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "hashes": [_hash(component.digest)],
        "licenses": [{"expression": component.licence}],
        "purl": component.purl,
        "properties": [{"name": "escp:sha256-of", "value": component.digest_of}],
    }
    if component.files:
        entry["components"] = [
            {"type": "file", "name": name, "hashes": [_hash(digest)]}
            for name, digest in component.files.items()
        ]
    return entry


def _hash(digest: str) -> dict:
    return {"alg": "SHA-256", "content": digest}


def write_sbom(document: dict, path: Path) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
