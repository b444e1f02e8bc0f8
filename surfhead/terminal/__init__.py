"""How commands speak: lines, bars, tables and sizes that fit the terminal they are shown in."""
