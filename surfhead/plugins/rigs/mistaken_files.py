"""Files that a download, a repository or a copy left where a model should be, told by their first bytes."""

from __future__ import annotations

START = 512  # bytes looked at
ENOUGH = 100  # line feeds from which their neighbours say something
RARE = 1 << 20  # bytes in which a return before a line feed would be expected by chance
LFS = b"version https://git-lfs"


def no_pickle(raw: bytes) -> tuple[str, str] | None:
    """What a file is that is no pickle, and what to do; None where it may be one."""
    start = raw[:START].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not raw:
        return "empty", "Download it again."
    if start.startswith(LFS):
        return "a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        return (
            "a web page, as servers send to those who are not logged in",
            "Log in at https://flame.is.tue.mpg.de with a browser and download it there.",
        )
    if raw.startswith(b"PK\x03\x04"):
        return "a zip archive", "Unpack it, and give the .pkl in it."
    if raw.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return "a packed archive", "Unpack it, and give the .pkl in it."
    return None


def changed_line_ends(raw: bytes) -> str:
    """How a copy as text changed a binary file's line ends; empty where nothing tells of it."""
    feeds, pairs = raw.count(b"\n"), raw.count(b"\r\n")
    if feeds >= ENOUGH and feeds == pairs:
        return "every line feed has a return before it, as a copy as text makes them"
    if feeds >= ENOUGH and pairs == 0 and len(raw) > RARE:
        return "no line feed has a return before it, as a copy as text leaves them"
    return ""
