"""The commands of ``surfhead``, one file each; importing them imports neither torch nor any plugin."""
