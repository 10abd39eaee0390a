"""Stand-ins for modules of the standard library that are slow to load."""
