"""The docs follow the library: cells stand in all their tables, each public name on one page."""

import collections
import functools
import importlib
import inspect
import pathlib
import posixpath
import re
import typing

import layout_table
import public_names
import pytest
from public_names import ROOT, section
from rows import CELLS, build

import jaxnn

DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
ROW = re.compile(r"^\| `(\w+)\(.*\]\((\S+)\) \|$", re.MULTILINE)
TABLE = section("README.md", "The cells")


@functools.cache
def factories() -> list[str]:
    """The public names from jaxnn.cells that give a Cell, by their annotation."""
    found = []
    for name in public_names.names_of("jaxnn.cells"):
        thing = getattr(jaxnn, name.removeprefix("jaxnn."))
        if inspect.isfunction(thing):
            given = typing.get_type_hints(thing)["return"]
            if (typing.get_origin(given) or given) is jaxnn.Cell:
                found.append(name.removeprefix("jaxnn."))
    return found


def test_the_factories_are_found():
    assert {"elman", "lstm", "gru", "conv_lstm"} <= set(factories())
    assert "lstm_gates" not in factories()


@pytest.mark.parametrize("name", factories())
def test_a_cell_is_in_the_readmes_table(name: str):
    """With a link to the file that it is in."""
    files = {file for row, file in ROW.findall(TABLE) if row == name}
    assert files == {getattr(jaxnn, name).__module__.replace(".", "/") + ".py"}


@pytest.mark.parametrize("name", factories())
def test_a_cell_has_its_equations_on_the_page_of_the_cells(name: str):
    assert f"][jaxnn.{name}]" in (DOCS / "cells.md").read_text("utf-8")


@pytest.mark.parametrize("name", factories())
def test_a_cell_obeys_the_laws(name: str):
    """A row of their table is made by its factory; a cell prints as the call that makes it."""
    assert name in {repr(build(row)).partition("(")[0] for row in CELLS}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in public_names.public()
        if name.islower() and not name.startswith("jaxnn.plot.")
    ],
)
def test_a_function_is_in_the_readmes_lists(name: str):
    """Those of plot are drawn on a page of their own."""
    assert re.search(rf"`{name.rpartition('.')[2]}[`(]", TABLE)


def test_the_readmes_table_has_no_other_cells():
    others = {"cell", "split_cell", "linear_cell"}
    assert {name for name, _ in ROW.findall(TABLE)} == {*factories(), *others}


def test_the_tables_of_weights_are_those_of_the_converters():
    page = (DOCS / "guides" / "bring_your_weights.md").read_text("utf-8")
    tables = re.findall(r"^(?:\| .*\n\|[-|]+\n)(?:\|.*\n)+", page, re.MULTILINE)
    assert [table.rstrip() for table in tables[1:]] == [
        layout_table.recurrent_table(),
        layout_table.plain_table(),
    ]


@pytest.mark.parametrize(
    "room", re.split(r"^- ", section("CONTRIBUTING.md", "Where things are"), flags=re.MULTILINE)[1:]
)
def test_the_map_of_the_house_names_files_that_are_there(room: str):
    text = room.partition("\n\n")[0]
    folders = re.findall(r"`(\w+)/`", text) or ["."]
    for file in re.findall(r"`(\w+\.py)`", text):
        assert any((ROOT / "jaxnn" / folder / file).is_file() for folder in folders), file


def test_the_map_of_the_house_has_every_room():
    rooms = {path.parent.name for path in ROOT.glob("jaxnn/*/__init__.py")}
    named = set(re.findall(r"`(\w+)/`", section("CONTRIBUTING.md", "Where things are")))
    assert rooms <= named


@pytest.mark.parametrize("module", ["jaxnn", *(f"jaxnn.{m}" for m in public_names.modules())])
def test_names_are_read_as_they_are(module: str):
    """From the source, without running it, as the site does; what jaxnn has, it has."""
    there = vars(importlib.import_module(module)).items()
    names = {name for name, value in there if name[0] != "_" and not inspect.ismodule(value)}
    if module != "jaxnn":
        names = {
            name
            for name in names
            if getattr(jaxnn, name, None) is not vars(importlib.import_module(module))[name]
        }
    read = (name.rpartition(".") for name in public_names.public())
    assert names == {name for where, _, name in read if where == module}


def test_each_public_name_is_on_one_page():
    """And whatever is on a page is there to be imported."""
    shown = collections.Counter(name for names in public_names.pages().values() for name in names)
    assert {name: count for name, count in shown.items() if count != 1} == {}
    assert set(public_names.public()) <= set(shown)
    for name in shown:
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *DOCS.glob("**/*.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_to_files(page: pathlib.Path):
    """On the site, docs/ and the repository lie over each other."""
    roots = (DOCS, ROOT) if page.is_relative_to(DOCS) else (ROOT,)
    folder = page.parent.relative_to(roots[0])
    for link in LINK.findall(page.read_text("utf-8")):
        path = posixpath.normpath(folder / link)
        assert any((root / path).exists() for root in roots), link
