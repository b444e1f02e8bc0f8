"""What may be read, and how it is written: bounds before memory is given, files whole or absent."""
