"""The page's own words round viser's: its title, what it waits for before the first picture, and its end.

Viser's page is blank until its scripts run and its server answers, and stays as it is when the server ends. A
few lines put into it ask the server every second what it is doing, and say so.
"""

from __future__ import annotations

import gzip
import html
import json
from typing import Any

STATE = "/surfhead-state"  # the address that answers with the words
OVERLAY = """<style>
#surfhead-words { position: fixed; z-index: 9999; left: 50%; top: 40%; transform: translate(-50%, -50%);
  padding: 14px 22px; border-radius: 10px; background: #1e1e23; color: #ececf0; text-align: center;
  font: 15px/1.5 system-ui, sans-serif; box-shadow: 0 2px 14px #0006; max-width: 80vw; }
#surfhead-words[hidden] { display: none; }
</style>
<div id="surfhead-words" role="status">TITLE<br>Opening the viewer …</div>
<script>
(() => {
  const box = document.getElementById("surfhead-words"), title = "TITLE";
  let missed = 0, seen = false;
  const ask = async () => {
    let words = "";
    try {
      const answer = await fetch("STATE" + location.search, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      words = (await answer.json()).words;
      missed = 0;
      seen = true;
    } catch {
      missed += 1;
      const ended = "The viewer has ended. Start it again, and this page goes on.";
      if (missed > 1) words = seen ? ended : "No answer yet.";
    }
    box.hidden = !words;
    box.innerText = title + "\\n" + words;
    setTimeout(ask, words ? 700 : 2000);
  };
  ask();
  // on a phone the head comes first: viser's sheet of controls starts open and takes half of it
  let tries = 0;
  const fold = () => {
    const handle = document.querySelector('div[style*="position: fixed"] div[style*="height: 3.5em"]');
    if (handle) handle.click();
    else if (tries++ < 100) setTimeout(fold, 200);
  };
  if (matchMedia("(max-width: 36em)").matches) fold();
})();
</script>
"""


class Front:
    """What a page says of itself.

    Attributes:
        title: in the browser's tab.
        words: what it is doing; empty once there are pictures.
    """

    def __init__(self, title: str, words: str = "") -> None:
        self.title = title
        self.words = words

    def answer(self, connection: Any, request: Any, response: Any) -> Any:
        """The answer to a request that viser answers with ``response``."""
        path = str(request.path).partition("?")[0]
        if path == STATE:
            made = connection.respond(200, json.dumps({"words": self.words}) + "\n")
            made.headers["Cache-Control"] = "no-store"
            return made
        if response is None or path not in ("", "/", "/index.html"):
            return response
        packed = response.headers.get("Content-Encoding") == "gzip"
        try:
            text = (gzip.decompress(response.body) if packed else response.body).decode("utf-8")
        except (OSError, ValueError):  # a viser that packs otherwise: its page is shown as it is
            return response
        body = self.page(text).encode()
        response.body = gzip.compress(body) if packed else body
        for name in ("Content-Length", "Cache-Control"):
            if name in response.headers:
                del response.headers[name]
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Cache-Control"] = "no-store"
        return response

    def page(self, text: str) -> str:
        """Viser's page with our title and words."""
        title = html.escape(self.title)
        text = text.replace("<title>Viser</title>", f"<title>{title} · surfhead</title>")
        script = json.dumps(self.title).replace("<", "\\u003c")
        overlay = OVERLAY.replace('title = "TITLE"', f"title = {script}").replace("TITLE", title)
        return text.replace("</body>", overlay.replace("STATE", STATE) + "</body>")
