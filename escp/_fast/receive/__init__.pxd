"""The receiving plane: its state, roots, small and large files, answers."""
