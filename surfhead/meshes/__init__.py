"""Triangle meshes: casting rays at them, fusing and measuring surfaces, PLY files."""
