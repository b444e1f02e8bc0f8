"""Names in a VHAP export."""

from __future__ import annotations

CANONICAL = "canonical_flame_param.npz"
SPLITS = ("train", "val", "test")
EXTENSION = "surfhead"  # the key of the .json files that names another rig than FLAME
