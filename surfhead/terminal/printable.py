"""Text of strangers on a terminal: letters only, nothing that moves the cursor or turns the line round."""

from __future__ import annotations

import unicodedata

KINDS = ("Cc", "Zl", "Zp")  # control characters, such as escape, and ends of lines
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # change the direction of what follows


def printable(text: str) -> str:
    """Text with codes in the place of characters that steer a terminal, but for ends of lines and tabs."""
    if text.isprintable():
        return text
    return "".join(
        f"\\x{ord(letter):02x}"
        if (unicodedata.category(letter) in KINDS and letter not in "\n\t") or letter in TURNS
        else letter
        for letter in text
    )


def one_line(text: str) -> str:
    """Printable text without ends of lines."""
    return printable(" ".join(text.splitlines()))
