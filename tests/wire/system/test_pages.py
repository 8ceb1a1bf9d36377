from __future__ import annotations

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from antiphon.api.system.pages import DOCUMENTS, FOLDERS, Pages, slug_of
from tests.tidy.project import ROOT

PAGES = sorted(f"{folder}/{file.stem}" for folder in FOLDERS for file in (ROOT / "docs" / folder).glob("*.md"))


class Anchors(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if given.get("id"):
            self.ids.add(str(given["id"]))


async def read(http: httpx.AsyncClient, path: str) -> Anchors:
    answer = await http.get(path)
    assert answer.status_code == 200, path
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Anchors(answer.text)


async def test_the_index_leads_to_every_page_and_every_document(http: httpx.AsyncClient) -> None:
    index = await read(http, "/docs")
    assert {f"/docs/{page}" for page in PAGES} | set(DOCUMENTS) | {"/llms.txt"} == set(index.links)
    for document in DOCUMENTS:
        assert (await http.get(document)).json()["openapi"].startswith("3.")


@pytest.mark.parametrize("page", PAGES)
async def test_no_link_of_a_page_leads_nowhere(http: httpx.AsyncClient, page: str) -> None:
    for link in (await read(http, f"/docs/{page}")).links:
        if "://" in link or link.endswith(".md"):
            continue
        path, _, anchor = link.partition("#")
        target = (
            posixpath.normpath(posixpath.join(f"/docs/{posixpath.dirname(page)}", path)) if path else f"/docs/{page}"
        )
        assert target.startswith("/docs"), link
        found = await read(http, target)
        assert not anchor or anchor in found.ids, link


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_is_there_as_it_was_written(http: httpx.AsyncClient, page: str) -> None:
    answer = await http.get(f"/docs/{page}.md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.content == (ROOT / "docs" / f"{page}.md").read_bytes()


async def test_the_index_for_agents_leads_to_every_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/llms.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[0] == "# Antiphon"
    assert lines[2].startswith("> ")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", answer.text, re.MULTILINE)
    assert set(links) == {f"/docs/{page}.md" for page in PAGES} | set(DOCUMENTS)
    described = [line for line in lines if line.startswith("- ") and ".md)" in line]
    assert [line for line in described if not re.search(r"\): \w", line.replace("*", "").replace("`", ""))] == []


@pytest.mark.parametrize(
    "path", ["/docs/guides/none", "/docs/none/deletion", "/docs/guides/..%2F..%2FREADME", "/docs/"]
)
async def test_what_is_no_page_is_404(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "route_not_found"


@pytest.mark.parametrize(("path", "target"), [("/openapi.json", "/v3/openapi.json"), ("/redoc", "/docs")])
async def test_what_is_looked_for_elsewhere_is_found(http: httpx.AsyncClient, path: str, target: str) -> None:
    answer, same = await http.get(path), await http.get(target)
    assert (answer.status_code, answer.content) == (200, same.content)


async def test_html_in_markdown_stays_text(tmp_path: Path) -> None:
    (tmp_path / "guides").mkdir()
    (tmp_path / "guides" / "one.md").write_text("# One\n\nA <script>alert(1)</script> tag.\n")
    pages = Pages(tmp_path)
    (found,) = pages._pages.values()
    assert "<script>" not in pages._render(found)
    assert "&lt;script&gt;" in pages._render(found)


def test_anchors_are_those_of_the_forges() -> None:
    assert slug_of("Erased, and `removed`") == "erased-and-removed"
