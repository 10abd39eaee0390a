"""The sending plane: its state, frames, small and large files, questions, results."""
