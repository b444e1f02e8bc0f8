"""The FLAME head model."""
