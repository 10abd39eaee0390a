"""escp --server."""
