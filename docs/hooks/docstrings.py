"""Docstrings as Markdown: their sections as lists, their equations and examples as code.

And where a public name is that of a room too, as `jaxnn.online`, it is the name that is shown.
"""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe
from public_names import exported

SECTIONS = {
    "Args:": "Arguments",
    "Attributes:": "Attributes",
    "Returns:": "Returns",
    "Raises:": "Raises",
}
ITEM = re.compile(r"([\w*, ]+): (.*)", re.DOTALL)


class Markdown(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **rest: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = "\n\n".join(map(_block, _blocks(obj.docstring.value)))
        if isinstance(obj, griffe.Class) and "NamedTuple" in map(str, obj.bases):
            named = {name: a for name, a in obj.attributes.items() if not name.startswith("_")}
            fields = [f"    {name}: {a.annotation}" for name, a in named.items()]
            head = f"class {obj.name}({', '.join(map(str, obj.bases))}):"
            declared = "\n".join(["```python", head, *fields, "```"])
            text = obj.docstring.value if obj.docstring else ""
            obj.docstring = griffe.Docstring(f"{text}\n\n{declared}", parent=obj)

    def on_package(self, *, pkg: griffe.Module, **rest: Any) -> None:
        for name, module in exported(pkg.name):
            last = name.rpartition(".")[2]
            room = pkg.members.get(last)
            if isinstance(room, griffe.Module):
                target: Any = pkg[f"{module.partition('.')[2]}.{last}"]
                target.members.update(room.members)  # the paths through the room stay
                pkg.set_member(last, griffe.Alias(last, target, parent=pkg))


def _blocks(text: str) -> Iterator[str]:
    """What empty lines part, but a section in one piece."""
    block: list[str] = []
    for line in text.splitlines():
        inside = bool(block) and block[0] in SECTIONS
        if inside and line and not line.startswith(" "):
            yield "\n".join(block).rstrip()
            block = []
        if line or inside:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block).rstrip()


def _block(text: str) -> str:
    first, _, rest = text.partition("\n")
    if first in SECTIONS:
        body = textwrap.dedent(rest)
        if first != "Returns:":
            body = "\n".join(_item(item) for item in re.split(r"\n(?=\S)", body))
        return f"**{SECTIONS[first]}**\n\n{body}"
    if first.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    if first.startswith("    "):
        return f"```text\n{textwrap.dedent(text)}\n```"
    return re.sub(r"^Source: ", "**Source:** ", text)


def _item(text: str) -> str:
    """`name, other: what they are` as an entry of a list."""
    found = ITEM.fullmatch(text)
    if found is None:
        raise ValueError(f"a docstring's list has an entry without a name: {text!r}")
    names = ", ".join(f"`{name.strip()}`" for name in found[1].split(","))
    return f"- {names}: {textwrap.indent(found[2], '  ').lstrip()}"
