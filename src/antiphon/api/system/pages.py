"""The documentation, for people and for their agents: `/docs` as pages, the same as Markdown, and `/llms.txt`.

The Markdown files are those of the folder `docs`, which the wheel carries inside the package. `/llms.txt` has the form
of https://llmstxt.org: a title, a sentence, and lists of links to Markdown.
"""

from __future__ import annotations

import html
import re
from functools import cached_property
from pathlib import Path

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from antiphon.api.http import Reply, Request
from antiphon.api.routing import Content, Route, RouteNotFound

FOLDERS = {
    "guides": "Guides",
    "protocol": "The wires",
    "reference": "Reference",
    "decisions": "Decisions, with their reasons",
}
"""The folders of pages in the order of the index, each with its heading."""

DOCUMENTS = {
    "/antiphon/v1/openapi.json": "the native API",
    "/api/openapi.json": "Recoup",
    "/api/v1/openapi.json": "Lexicon",
    "/v3/openapi.json": "Honcho v3",
}
"""The OpenAPI documents that are served, and what each is of."""

_SUMMARY_CHARACTERS = 200
_PROSE = re.compile(r"(?!Date:)[\w`*\[]")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKDOWN = (b"content-type", b"text/markdown; charset=utf-8")
_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_POLICY = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'")
_ABOUT = (
    "A self-hosted conversation server for AI agents and chat apps: it keeps every word until you ask it to forget, "
    "then proves that it did."
)
_STYLE = (
    "body{font:16px/1.55 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "a{color:#0b5cad}code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}"
    "code{padding:.1em .3em}pre{padding:.8rem;overflow-x:auto}pre code{padding:0}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #d5d9de;padding:.35rem .6rem;text-align:left;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e3e6e9}a{color:#7ab8ff}"
    "code,pre{background:#22272c}th,td{border-color:#3a4148}}"
)


class Page(msgspec.Struct, frozen=True):
    """One page: where it is, what it is called, what its first sentence says, and its Markdown."""

    path: str
    title: str
    summary: str
    text: str


class Pages:
    """Everything under `/docs`, and `/llms.txt`. Files are read once, at the first request."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _folder()
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    def routes(self) -> list[Route]:
        """The routes, all of them public."""
        shown, plain = Content(str, "text/html"), Content(str, "text/plain")
        either = (Content(str, "text/html"), Content(str, "text/markdown"))
        return [
            Route("GET", "/docs", self.index, "What is documented.", {200: shown}, is_public=True),
            Route("GET", "/docs/{folder}/{page}", self.page, "A page.", {200: either, 404: dict}, is_public=True),
            Route("GET", "/redoc", self.index, "The same, for Honcho's clients.", {200: shown}, is_public=True),
            Route("GET", "/llms.txt", self.for_agents, "The same index for agents.", {200: plain}, is_public=True),
        ]

    async def index(self, request: Request) -> Reply:
        """GET /docs and GET /redoc."""
        parts = [f"<h1>Antiphon</h1><p>{html.escape(_ABOUT)}</p>"]
        for folder, heading in FOLDERS.items():
            lines = [
                f'<li><a href="/docs/{page.path}">{html.escape(page.title)}</a> – {html.escape(page.summary)}</li>'
                for page in self._of(folder)
            ]
            parts.append(f"<h2>{heading}</h2><ul>{''.join(lines)}</ul>")
        documents = [f'<li><a href="{path}">{html.escape(name)}</a></li>' for path, name in DOCUMENTS.items()]
        parts.append(
            f'<h2>OpenAPI</h2><ul>{"".join(documents)}</ul><p>For agents: <a href="/llms.txt">llms.txt</a></p>'
        )
        return _page("Antiphon", "".join(parts))

    async def page(self, request: Request) -> Reply:
        """GET /docs/{folder}/{page}: as a page, or with `.md` at its end as it was written. Raises RouteNotFound."""
        name = request.params["page"].removesuffix(".md")
        page = self._pages.get(f"{request.params['folder']}/{name}")
        if page is None:
            raise RouteNotFound
        if request.params["page"].endswith(".md"):
            return Reply(200, page.text.encode(), [_MARKDOWN])
        back = f'<p><a href="/docs">Antiphon</a> · <a href="/docs/{page.path}.md">Markdown</a></p>'
        return _page(page.title, back + self._render(page))

    async def for_agents(self, request: Request) -> Reply:
        """GET /llms.txt."""
        parts = [f"# Antiphon\n\n> {_ABOUT}\n"]
        for folder, heading in FOLDERS.items():
            lines = [f"- [{page.title}](/docs/{page.path}.md): {page.summary}" for page in self._of(folder)]
            parts.append(f"## {heading}\n\n" + "\n".join(lines) + "\n")
        documents = [f"- [OpenAPI of {name}]({path})" for path, name in DOCUMENTS.items()]
        parts.append("## OpenAPI\n\n" + "\n".join(documents) + "\n")
        return Reply(200, "\n".join(parts).encode(), [_PLAIN])

    def _of(self, folder: str) -> list[Page]:
        return [page for path, page in self._pages.items() if path.startswith(f"{folder}/")]

    @cached_property
    def _pages(self) -> dict[str, Page]:
        found = {}
        for folder in FOLDERS:
            for file in sorted((self._folder / folder).glob("*.md")):
                path = f"{folder}/{file.stem}"
                found[path] = _read(path, file.read_text(encoding="utf-8"))
        return found

    def _render(self, page: Page) -> str:
        tokens = self._markdown.parse(page.text)
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                token.attrSet("id", slug_of(tokens[at + 1].content))
            for inner in token.children or ():
                if inner.type == "link_open":
                    _turn(inner)
        return str(self._markdown.renderer.render(tokens, self._markdown.options, {}))


def _turn(link: Token) -> None:
    """Make a link to another Markdown file one to its page."""
    target = str(link.attrGet("href"))
    if "://" not in target:
        link.attrSet("href", re.sub(r"\.md(?=#|$)", "", target))


def slug_of(heading: str) -> str:
    """The anchor of a heading, as the forges of code make it: lowercase, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _read(path: str, text: str) -> Page:
    title, _, rest = text.partition("\n")
    paragraph = next((part for part in rest.split("\n\n") if _PROSE.match(part.strip())), "").strip()
    sentence = re.split(r"(?<=[.:])\s", _LINK.sub(r"\1", paragraph).replace("`", ""), maxsplit=1)[0]
    return Page(path, title.lstrip("# "), sentence.strip().rstrip(":")[:_SUMMARY_CHARACTERS], text)


def _page(title: str, body: str) -> Reply:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    return Reply(200, text.encode(), [_HTML, _POLICY])


def _folder() -> Path:
    """Where the files are: inside of an installed package, or beside the sources."""
    package = Path(__file__).parents[2]
    packed = package / "docs"
    return packed if packed.is_dir() else package.parents[1] / "docs"
