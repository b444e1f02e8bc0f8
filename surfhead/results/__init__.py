"""What is made of a finished run: re-enactment, pictures, meshes, figures, reports."""
