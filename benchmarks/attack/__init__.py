"""A standing campaign against the package: kills, mutated files, bombs, full and read-only disks, clients."""
