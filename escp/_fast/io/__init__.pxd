"""Blocks between memory and files: the ring, its engines, pages."""
