"""A run as a folder: made, gone on with, loaded, measured."""
