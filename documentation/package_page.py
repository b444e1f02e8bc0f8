"""The README as package indexes show it, where its relative pictures and links would lead nowhere.

scikit-build-core asks for it when it makes a wheel or a source distribution (``pyproject.toml``). Once the
project has a public address, ``ADDRESS`` is the one place for it: links and pictures then lead there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ADDRESS = ""  # of the tree's files, with a slash at its end; empty: there is none yet
RELATIVE = r"(?!https?://|mailto:|#)([^)\s]+)"
PICTURE = re.compile(rf"^(!\[[^]]*\]\(){RELATIVE}\)(\n\*[^*]+\*$)?", re.MULTILINE)  # and its caption
LINK = re.compile(rf"(?<!!)\[([^]]*)\]\({RELATIVE}\)")
FROM_A_CLONE = "From a fresh clone, this line"
INSTALLED = """```bash
pip install surfhead && surfhead train
```

"""
TABLE_OF_LINKS = re.compile(r"^## Where to go\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
INSTEAD = """## Where to go

Pictures, guides, the reference and the examples are in the source distribution, where
`pip install -e ".[docs]"` and `mkdocs serve` show them as a site.

"""


def package_page(readme: str, address: str = ADDRESS) -> str:
    """A README without what is relative to its folder: pictures are left out, of links the words stay.

    With an address of the project both lead there instead.
    """
    text = readme.replace(FROM_A_CLONE, INSTALLED + FROM_A_CLONE)
    if address:
        text = PICTURE.sub(lambda found: f"{found[1]}{address}{found[2]}){found[3] or ''}", text)
        return LINK.sub(lambda found: f"[{found[1]}]({address}{found[2]})", text)
    text = TABLE_OF_LINKS.sub(lambda _: INSTEAD, PICTURE.sub("", text))
    return re.sub(r"\n{3,}", "\n\n", LINK.sub(lambda found: found[1], text))


def dynamic_metadata(field: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What scikit-build-core takes for the field ``readme``."""
    if field != "readme" or settings:
        raise ValueError(f'"{field}" with {dict(settings)}: expected "readme" and no settings')
    readme = Path("README.md").read_text(encoding="utf-8")
    return {"content-type": "text/markdown", "text": package_page(readme)}
