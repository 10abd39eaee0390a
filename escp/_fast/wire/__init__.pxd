"""Payloads: bytes <-> structs, every bound of a peer's."""
