"""Interfaces, registry, training and evaluation; knows no plugin by name."""
