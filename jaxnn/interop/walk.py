"""Through a model by its parts: which arrays of a library it is, and under which names."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from jaxnn.internal.parts import Parts, parts
from jaxnn.interop.codec import EMPTY, Codec, NoHomeError, best, renamed, together
from jaxnn.interop.leaves import RECURRENT, plain_codec, recurrent_codec, recurrent_rows
from jaxnn.layers.dense import dense
from jaxnn.types import Params

TRANSPARENT = (
    "along", "along_time", "as_layer", "drop_connect", "final_state", "noise", "output_state",
    "recurrent_dropout", "remat", "residual", "shard_time", "solve", "variational_dropout",
    "with_method",
)  # fmt: skip
"""What changes how its inside runs, or trains, and has the parameters of its inside."""

CONTAINERS = ("serial", "stack", "parallel")
Names = tuple[str, ...] | None


class Library(NamedTuple):
    """How a library calls the parts of a model.

    Attributes:
      name: as in the table of layouts.
      module: the converter: "jaxnn.interop.torch".
      separator: between the names of a path.
      places: the names of the parts of a model that gives none: from their trees (None for a part
        without parameters), and the names of the weights that stand there, if some are given.
      cell: what may become of a row's names where a cell stands, from its kind and the names that
        are given: the usual first.
      directions: the two cells of a bidirectional, in the ways in which they may stand there.
      deep: a container as one layer of the library, or None.
    """

    name: str
    module: str
    separator: str
    places: Callable[[list[Parts | None], Names], list[str]]
    cell: Callable[[str, Names], Iterable[Callable[[str], str]]]
    directions: Callable[[Parts, Params, Names], list[Codec]]
    deep: Callable[[Parts, Params, Names], list[Codec]] = lambda tree, shapes, given: []


def shapes_of(model: Any) -> Params:
    """What `init` gives, without its numbers."""
    return jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))


def inside(tree: Parts) -> Parts:
    """What stands inside of transformations that keep its parameters as they are."""
    while tree.kind in TRANSPARENT:
        (tree,) = tree.parts.values()
    return tree


def codec_of(library: Library, tree: Parts, shapes: Params, given: Names) -> Codec:
    """The codec of a model.

    Args:
      library: whose names.
      tree: the parts of the model.
      shapes: what its `init` gives.
      given: the names of the weights, or None where they are to be made.

    Raises:
      NoHomeError: for what the library has no place for; all of it.
    """
    tree = inside(tree)
    if not jax.tree.leaves(shapes):
        return Codec(EMPTY.write, lambda arrays: shapes)
    if tree.kind in CONTAINERS:
        return _container(library, tree, shapes, given)
    if tree.kind == "mlp":
        return _mlp(library, tree, shapes, given)
    if tree.kind == "bidirectional":
        return best(library.directions(tree, shapes, given), shapes, given)
    if tree.kind == "learned_initial_state":
        return _with_start(library, tree, shapes, given)
    if tree.kind in RECURRENT:
        return best(cells(library, tree, given), shapes, given)
    return plain_codec(library.name, tree)


def cells(library: Library, tree: Parts, given: Names) -> list[Codec]:
    """A cell by each row that fits, under each name that it may have."""
    rows = recurrent_rows(library.name, tree)
    return [
        renamed(recurrent_codec(row, tree), names)
        for names in library.cell(tree.kind, given)
        for row in rows
    ]


def under(library: Library, name: str, codec: Codec) -> Codec:
    """The arrays of a part, under its name."""
    return renamed(codec, lambda inner: f"{name}{library.separator}{inner}")


def below(library: Library, name: str, given: Names) -> Names:
    """The names that stand under a name, without it."""
    if given is None:
        return None
    start = f"{name}{library.separator}"
    return tuple(each.removeprefix(start) for each in given if each.startswith(start))


def parts_under(
    library: Library, names: Iterable[str], trees: Iterable[Parts], params: Params, given: Names
) -> Codec:
    """Several parts, each under a name; what has no home is told of all of them."""
    codecs: list[Codec] = []
    reasons: list[str] = []
    for name, tree, shapes in zip(names, trees, params, strict=True):
        try:
            codec = codec_of(library, tree, shapes, below(library, name, given))
            codecs.append(under(library, name, codec))
        except NoHomeError as error:
            reasons += error.reasons
    if reasons:
        raise NoHomeError(*reasons)
    return together(codecs)


def by_place(form: str) -> Callable[[list[Parts | None], Names], list[str]]:
    """The names of parts by their places: "layers_{}"."""
    return lambda parts, given: [form.format(place) for place in range(len(parts))]


def by_kind(called: Callable[[Parts], str]) -> Callable[[list[Parts | None], Names], list[str]]:
    """The names of parts by their kinds, counted: lstm, lstm_1, linear, lstm_2."""

    def places(parts: list[Parts | None], given: Names) -> list[str]:
        del given
        found: list[str] = []
        counts: dict[str, int] = {}
        for part in parts:
            name = "" if part is None else called(part)
            count = counts.get(name, 0)
            counts[name] = count + 1
            found.append(f"{name}_{count}" if count else name)
        return found

    return places


def apart(library: Library, forward: str, backward: str, tree: Parts, *rest: Any) -> list[Codec]:
    """The two cells of a bidirectional, each under a name."""
    return [parts_under(library, (forward, backward), tree.parts.values(), *rest)]


def _container(library: Library, tree: Parts, shapes: Params, given: Names) -> Codec:
    children = list(tree.parts.items())
    if tree.options.get("names") is None:
        pairs = zip(children, shapes, strict=True)
        weighted = [inside(part) if jax.tree.leaves(own) else None for (_, part), own in pairs]
        names = library.places(weighted, given)
        deep = library.deep(tree, shapes, given)
    else:
        names, deep = [name for name, _ in children], []
    try:
        apart = [parts_under(library, names, (part for _, part in children), shapes, given)]
    except NoHomeError:
        if not deep:
            raise
        apart = []
    return best([*deep, *apart], shapes, given)


def _mlp(library: Library, tree: Parts, shapes: Params, given: Names) -> Codec:
    """Dense layers with an activation after each but the last, as if they stood in a `serial`."""
    options = {name: tree.options[name] for name in ("bias", "dtype", "param_dtype")}
    layers = [parts(dense(*pair, **options)) for pair in itertools.pairwise(tree.options["sizes"])]
    spread = [each for layer in layers for each in (layer, None)][:-1]
    names = library.places(spread, given)[::2]
    return parts_under(library, names, layers, shapes, given)


def _with_start(library: Library, tree: Parts, shapes: Params, given: Names) -> Codec:
    """A cell and its first state, which stands beside it under "start" and our own names."""
    (cell,) = tree.parts.values()
    keystr, separator = jax.tree_util.keystr, library.separator
    leaves = jax.tree_util.tree_leaves_with_path(shapes.start)
    names = [keystr(path, simple=True, separator=separator) for path, _ in leaves]
    start = Codec(
        lambda params: dict(zip(names, jax.tree.leaves(params), strict=True)),
        lambda arrays: tuple(arrays[name] for name in names),
    )
    return together([codec_of(library, cell, shapes.cell, given), under(library, "start", start)])
