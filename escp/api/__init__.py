"""Copies called for by another program: escp.copy, escp.connect, blocks, escp:// of fsspec."""
