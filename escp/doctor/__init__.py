"""Is it well, is it fast: --doctor, --selftest."""
