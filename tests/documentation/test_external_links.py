"""Links out of the tree: well-formed, and, where asked for (`pytest -m network`), that something answers."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.documentation.pages import ROOT

SOURCES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "mkdocs.yml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
    *sorted((ROOT / "plugins_contrib").rglob("*.md")),
    *sorted((ROOT / "surfhead").rglob("*.py")),
    *sorted((ROOT / "plugins_contrib").rglob("src/**/*.py")),
]
ADDRESS = re.compile(r"https?://[^\s<>()\[\]{}\"'`|\\]+")
HERE = ("127.0.0.1", "localhost")  # what a command serves on this machine
AGENT = "Mozilla/5.0 (compatible; link check)"  # some sites refuse Python's own
# Answers of a site that is there, to a program that it does not serve
UNWILLING = {401, 403, 405, 429}


def addresses(text: str) -> set[str]:
    """The whole addresses in a text, without the sentence's own stops, slashes and parts of programs."""
    found = {match.rstrip(".,;:/") for match in ADDRESS.findall(text)}
    return {address for address in found if urlsplit(address).hostname not in (None, *HERE)}


LINKS = {
    address: path
    for path in SOURCES
    for address in addresses(path.read_text(encoding="utf-8"))
    if not address.startswith("https://git-lfs")  # the first line of its pointers, which are recognised
}


def fault(address: str) -> str | None:
    """What is wrong with how an address is written."""
    parts = urlsplit(address)
    if parts.scheme != "https":
        return "it is not encrypted"
    if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc):
        return f'"{parts.netloc}" is no name of a host'
    if parts.netloc == "arxiv.org" and not re.fullmatch(r"/abs/\d{4}\.\d{4,5}", parts.path):
        return "arXiv's pages are /abs/YYMM.NNNNN"
    if parts.netloc == "github.com" and not re.fullmatch(r"(/[\w.-]+){2,}", parts.path):
        return "GitHub's repositories are /OWNER/NAME"
    return None


def test_there_are_links() -> None:
    assert len(LINKS) > 10
    assert {"https://arxiv.org/abs/2410.11682", "https://github.com/ShenhanQian/VHAP"} <= LINKS.keys()


@pytest.mark.parametrize("address", sorted(LINKS))
def test_an_address_is_well_formed(address: str) -> None:
    assert fault(address) is None, f"{LINKS[address].relative_to(ROOT)}: {address}"


@pytest.mark.parametrize(
    "address",
    [
        *("http://arxiv.org/abs/2410.11682", "https://arxiv.org/2410.11682", "https://github.com/VHAP"),
        *("https://machine/index.html", "https://user@example.org/"),
    ],
)
def test_a_mistaken_address_is_found(address: str) -> None:
    assert fault(address) is not None


def test_a_paper_has_one_address() -> None:
    """What the pages call it is what the citations call it."""
    cited = dict(re.findall(r'title: "?(.+?)"?\n(?:.*\n)*?    url: "(.+?)"', citations()))
    assert len(cited) == 3
    listed = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8").replace("\n  ", " ")
    for title, address in cited.items():
        (entry,) = [line for line in listed.splitlines() if address in line]
        assert title.rpartition(": ")[2].lower() in entry.lower()


def citations() -> str:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    return text[text.index("references:") :]


@pytest.mark.network
@pytest.mark.parametrize("address", sorted(LINKS))
def test_an_address_leads_somewhere(address: str) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": AGENT})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    assert status < 400 or status in UNWILLING, f"{LINKS[address].relative_to(ROOT)}: {address}: {status}"
