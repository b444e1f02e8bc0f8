"""What is wrong with the layout of a page in a browser: what sticks out, is cut off, or lies over another."""

from __future__ import annotations

from typing import Any

PHONE, SMALL, LARGE = (390, 844), (1200, 800), (1920, 1080)  # pixels of a window
FAULTS = """(scope) => {
  const seen = (e) => {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    return box.width > 1 && box.height > 1 && style.visibility !== "hidden" && e.checkVisibility();
  };
  const words = (e) => (e.textContent || e.title || e.type || "").trim().slice(0, 40);
  const name = (e) => `${e.tagName} ${e.id || words(e)}`;
  const within = (e, kind) => {  // scrolled in, what is outside it is not seen
    for (let at = e.parentElement; at; at = at.parentElement)
      if (kind.includes(getComputedStyle(at).overflowX)) return true;
    return false;
  };
  const root = document.querySelector(scope), all = [...root.querySelectorAll("*")].filter(seen);
  const faults = [];
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than its window");
  for (const e of all) {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    const shown = e.textContent.trim() || e.matches("img, video, svg, input, select, button");
    if (shown && (box.left < -1 || box.right > innerWidth + 1) && !within(e, ["auto", "scroll"]))
      faults.push(`${name(e)} sticks out to ${Math.round(box.right)}`);
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (text && style.overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
      faults.push(`${name(e)} is cut off`);
  }
  const used = all.filter((e) => e.matches("button, input, select, a, summary, [role=slider], [role=tab]"));
  used.forEach((e, i) => used.slice(i + 1).forEach((other) => {
    if (e.contains(other) || other.contains(e)) return;
    const a = e.getBoundingClientRect(), b = other.getBoundingClientRect();
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 2 && high > 2) faults.push(`${name(e)} lies over ${name(other)}`);
  }));
  return [...new Set(faults)];
}"""


def faults(tab: Any, scope: str = "body") -> list[str]:
    """What is wrong in a playwright page now, a sentence each.

    Args:
        scope: a selector of the part that is looked at.
    """
    found: list[str] = tab.evaluate(FAULTS, scope)
    return found


def laid_out(tab: Any, scope: str = "body") -> list[str]:
    """What stays wrong once a page has followed its window, for which it has 200 pictures of the browser."""
    found: list[str] = []
    for _ in range(100):
        tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found = faults(tab, scope)
        if not found:
            break
    return found
