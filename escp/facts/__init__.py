"""What a host tells of itself."""
