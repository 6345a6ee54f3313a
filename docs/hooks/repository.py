"""Shows the repository as it stands: its notebooks, its Markdown, and the files that these link to.

A page of the site keeps its place in the repository, so that a link that works there works here.
In a page of `docs/`, a line `{{ README.md # Use }}` stands for that section of that file,
`{{ api jaxnn.cells }}` for the public names that `jaxnn` has from that room (of
`jaxnn.losses`, a public module, for its own; `public_names.py` finds them), and `{{ gallery }}` for
a card for each example.
"""

import ast
import itertools
import os
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from public_names import ENTRY, ROOT, entries, public, section

NOTEBOOK = re.compile(r"notebooks/\d")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
SECTION = re.compile(r"^\{\{ (\S+\.md) # (.+) \}\}$", re.MULTILINE)
SHOWN = ("result", "published", "seeds", "time on two cores")  # columns of the examples' table
WIDE = ("examples/README.md",)  # pages whose tables need the room of the table of contents
DOCTEST = re.compile(r"^```python$(?=\n>>>)", re.MULTILINE)


class Source(File):
    """A source file as a page: highlighted, not executed, and not searched."""

    def is_documentation_page(self) -> bool:
        return True


def on_config(config: MkDocsConfig) -> None:
    """The notebooks import their drawings from beside them, and show their pictures."""
    folders = [str(ROOT / "notebooks"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"


@event_priority(100)  # before mkdocs-jupyter, which looks for notebooks among the files
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what the navigation names, and what pages link to, if the repository has it."""
    pages = {file.src_uri: _expanded(file.content_string) for file in files.documentation_pages()}
    documented = set(ENTRY.findall("\n".join(pages.values())))
    missing = [name for name in public() if name not in documented]
    if missing:
        raise ValueError(f"no page of docs/api has {missing}")
    wanted = [*_paths(config.nav), *itertools.chain(*itertools.starmap(_links, pages.items()))]
    while wanted:
        path = wanted.pop()
        here = ROOT / path
        if files.get_file_from_path(path) or not here.is_file():
            continue
        if path.startswith("docs/"):
            raise ValueError(f"{path}: a link into docs/ does not work on the site")
        kind = Source if here.suffix == ".py" and not NOTEBOOK.match(path) else File
        file = kind(path, str(ROOT), config.site_dir, config.use_directory_urls)
        file.inclusion = InclusionLevel.NOT_IN_NAV  # unless the navigation names it
        files.append(file)
        if here.suffix == ".md":
            wanted += _links(path, here.read_text(encoding="utf-8"))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    if not isinstance(page.file, Source):
        return None
    path, code = page.file.src_uri, page.file.content_string
    return (
        f"---\ntitle: {path}\nhide: [toc]\nsearch: {{exclude: true}}\n---\n"
        f"# {path}\n\n``````python\n{code}``````\n"
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if isinstance(page.file, Source):
        return markdown
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return DOCTEST.sub("```pycon", _unlinked(page.file.src_uri, _expanded(markdown)))


def _expanded(markdown: str) -> str:
    markdown = SECTION.sub(lambda match: _section(*match.groups()), markdown)
    return entries(markdown).replace("{{ gallery }}", "\n".join(_gallery()))


def _section(path: str, heading: str) -> str:
    """What stands under a heading, with its links into docs/ from there."""
    return section(path, heading).replace("](docs/", "](")


def _gallery() -> Iterator[str]:
    """A card for each script that runs: its picture, what it says of itself, its command."""
    yield '<div class="grid cards" markdown>\n'
    for script in sorted((ROOT / "examples").glob("*.py")):
        code = script.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' not in code:
            continue
        first, _, more = (ast.get_docstring(ast.parse(code)) or "").partition("\n\n")
        lines = [f"**[{script.name}](examples/{script.name})**: {first}", "", more, ""]
        picture = f"examples/pictures/{script.stem}.png"
        lines += [f"![{first}]({picture})", ""] if (ROOT / picture).is_file() else []
        lines += [*_results(script.name), ""]
        lines += ["```sh", f"python examples/{script.name}", "```"]
        yield "-   " + "\n".join(lines).replace("\n", "\n    ") + "\n"
    yield "</div>"


def _results(script: str) -> list[str]:
    """What the examples' table says of a script, as a list: a table is too wide for a card."""
    readme = ROOT / "examples/README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = (
            [cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()
        )
        for row in rows:
            if f"]({script})" in row[0]:
                pairs = zip(head, row, strict=True)
                found += [f"- {name}: {cell}" for name, cell in pairs if cell and name in SHOWN]
    return found


def _paths(nav: Any) -> Iterator[str]:
    """The files that a navigation names."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []:
        yield from _paths(part)


def _links(page: str, markdown: str) -> Iterator[str]:
    """The files that a page links to, from the root of the repository."""
    for match in LINK.finditer(markdown):
        if ":" not in match[3]:
            yield posixpath.normpath(posixpath.join(posixpath.dirname(page), match[3]))


def _unlinked(page: str, markdown: str) -> str:
    """A folder has no page: a link to one is its text alone."""

    def text(match: re.Match[str]) -> str:
        folder = ROOT / posixpath.dirname(page) / match[3]
        return match[2] if ":" not in match[3] and folder.is_dir() else match[0]

    return LINK.sub(text, markdown)
