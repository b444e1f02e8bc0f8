"""Figures of an avatar's pictures, and of the baseline it must beat."""
