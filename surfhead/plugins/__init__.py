"""Built-in components, one folder a kind, one file a component."""
