"""Built-in components, one folder a kind, one file or folder a component."""
