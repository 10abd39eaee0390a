"""Which files, and under which names they land."""
