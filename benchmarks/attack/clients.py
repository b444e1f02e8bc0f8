"""Requests that the viewer must refuse."""

from __future__ import annotations

from benchmarks.attack.rows import Row


def clients() -> list[Row]:
    """Requests of other origins, names and without a token."""
    from websockets.datastructures import Headers

    from surfhead.viewing.access import Access

    own = "127.0.0.1:8080"
    hostile = [
        [("Host", own), ("Origin", "http://evil.example")],
        [("Host", own), ("Origin", "null")],
        [("Host", "evil.example:8080"), ("Origin", "http://evil.example:8080")],
        [("Host", own), ("Host", own)],
        [],
    ]
    let_in = sum(not Access("127.0.0.1").refusal("/", Headers(rows)) for rows in hostile)
    let_in += not Access("0.0.0.0").refusal("/?token=guess", Headers([("Host", own)]))
    return [Row("clients", len(hostile) + 1, let_in, "refused")]
