"""The built-in head's pictures."""
