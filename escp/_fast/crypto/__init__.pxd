"""Keys, nonces, sealing; the digest of a file."""
