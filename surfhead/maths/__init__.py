"""Mathematics that knows nothing of surfhead: planes, rotations, triangles, harmonics, metrics."""
