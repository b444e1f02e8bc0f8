"""The gallery is what its script writes, of pictures that are there."""

from __future__ import annotations

from documentation import gallery


def test_the_page_is_the_scripts() -> None:
    assert (gallery.DOCS / "gallery.md").read_text(encoding="utf-8") == gallery.page()
    assert [row.file for row in gallery.GALLERY if not (gallery.DOCS / row.file).is_file()] == []
