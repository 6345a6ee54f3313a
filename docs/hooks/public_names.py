"""The public names of jaxnn, read from its source, and the pages of the API that show them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api"
LINE = re.compile(r"^\{\{ api (\S+) \}\}$", re.MULTILINE)
ENTRY = re.compile(r"^::: (\S+)$", re.MULTILINE)
BESIDE = "\n    options:\n      heading_level: 4"
"""Of types and constants beside functions: below the depth of the table of contents."""


def section(path: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    if found is None:
        raise ValueError(f"{path} has no section {heading!r}")
    return found[1].strip()


def entries(markdown: str) -> str:
    """A page with mkdocstrings' line for each name in the place of `{{ api room }}`."""
    return LINE.sub(lambda match: _lines(match[1]), markdown)


def pages() -> dict[str, list[str]]:
    """The names on each page of docs/api, in their order."""
    return {
        page.name: ENTRY.findall(entries(page.read_text(encoding="utf-8")))
        for page in sorted(API.glob("*.md"))
    }


def public() -> list[str]:
    """The names of `jaxnn` and of its public modules: `jaxnn.gru`, `jaxnn.losses.accuracy`.

    Functions come first, then types, then constants of each module; cells in the order of the
    README's table, the others in that of the imports.
    """
    named = [name for name, _ in _exported("jaxnn")]
    for module in modules():
        named += _own(f"jaxnn.{module}")
    return named + names_of("jaxnn.plot")


def names_of(room: str) -> list[str]:
    """The names that `jaxnn` has from one of its rooms, and those of a public module."""
    names = [name for name, module in _exported("jaxnn") if f"{module}.".startswith(f"{room}.")]
    if names and room.removeprefix("jaxnn.") not in modules():
        return names
    return names + _own(room)


def _lines(room: str) -> str:
    names = names_of(room)
    functions = any(_kind(name) == 0 for name in names)
    return "\n\n".join(f"::: {name}{BESIDE if functions and _kind(name) else ''}" for name in names)


def _exported(module: str) -> Iterator[tuple[str, str]]:
    """What a module imports for others, and from where."""
    imports = [part for part in _parts(module) if isinstance(part, ast.ImportFrom)]
    table = section("README.md", "The cells")
    for part in sorted(imports, key=lambda part: _place(table, str(part.module))):
        if part.module != "jaxnn":
            names = (alias.asname or alias.name for alias in part.names)
            yield from ((f"{module}.{name}", str(part.module)) for name in sorted(names, key=_kind))


def modules() -> list[str]:
    """The public modules that come with `import jaxnn`."""
    return [
        alias.name
        for part in _parts("jaxnn")
        if isinstance(part, ast.ImportFrom) and part.module == "jaxnn"
        for alias in part.names
    ]


def _own(module: str) -> list[str]:
    """The names of a public module that `jaxnn` itself does not have."""
    top = {(name.rpartition(".")[2], source) for name, source in _exported("jaxnn")}
    found = _exported(module)
    return [name for name, source in found if (name.rpartition(".")[2], source) not in top]


def _parts(module: str) -> list[ast.stmt]:
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8")).body


def _place(table: str, module: str) -> int:
    """Where a cell's file is first linked in a table; 0 for what is no cell."""
    if not module.startswith("jaxnn.cells."):
        return 0
    found = table.find(f"({module.replace('.', '/')}.py)")
    return found if found >= 0 else len(table)


def _kind(name: str) -> int:
    """0 for a function, 1 for a type, 2 for a constant; with its module or without."""
    name = name.rpartition(".")[2]
    return 2 if name.isupper() else 0 if name.islower() else 1
