"""What a compiled program exchanges between devices, inside of its loops and outside."""

import re
from typing import NamedTuple

COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all|collective-broadcast)"
    r"(?:-start)?\("
)


class Collectives(NamedTuple):
    """The names of those that run once, and of those in the loops of a program."""

    once: list[str]
    in_loops: list[str]


def collectives(text: str | None) -> Collectives:
    """What a compiled program exchanges, read from its text."""
    assert text is not None
    bodies: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        head = re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head:
            name = head[1]
        bodies.setdefault(name, []).append(line)
    loops = re.findall(r"(?:body|condition)=%?([\w.\-]+)", text)
    inside: set[str] = set()
    while loops:
        name = loops.pop()
        if name not in inside:
            inside.add(name)
            named = re.findall(r"%?([\w.\-]+)", "\n".join(bodies[name]))
            loops.extend(other for other in named if other in bodies)
    found = Collectives([], [])
    for name, lines in bodies.items():
        names = [match for line in lines for match in COLLECTIVE.findall(line)]
        (found.in_loops if name in inside else found.once).extend(names)
    return found
