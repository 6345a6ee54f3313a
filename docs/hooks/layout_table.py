"""The tables of the guide "Bring your weights", from the one that the converters read."""

from collections.abc import Iterator

from jaxnn.interop.layouts import LAYOUTS, PLAIN, Layout, Names


def recurrent_table() -> str:
    """A line for each recurrent layer of each library."""
    head = (
        "| library, layer | here | gates | U, W | biases | z = 1 keeps | reset | state |",
        "|---|---|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *map(_recurrent_row, LAYOUTS)])


def plain_table() -> str:
    """A line for each layer without a state of each library."""
    head = "| library, layer | here | names | kernel |", "|---|---|---|---|"
    return "\n".join([*head, *_plain_rows()])


def _recurrent_row(row: Layout) -> str:
    gates = "–" if row.gates == "s" else " ".join(row.gates.replace("_", "·"))
    if isinstance(row.input, tuple):
        shape = "one `(in, h)` each"
    else:
        count = "" if len(row.gates) == 1 else len(row.gates)
        shape = f"`({count}h, in)`" if row.gates_first else f"`(in, {count}h)`"
    if row.input == row.recurrent:
        shape = f"`(in + h, {len(row.gates)}h)`, in one: {_text(row.input)}"
    else:
        shape = f"{shape}: {_text(row.input)}, {_text(row.recurrent)}"
    keeps = "–" if "z" not in row.gates else "new" if "z" in row.negated else "old"
    reset = {None: "–", True: "after", False: "before"}[row.reset_after]
    cells = (
        f"{row.library} {row.layer}", _ours(row), gates, shape, _biases(row), keeps, reset,
        ", ".join(row.state),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ours(row: Layout) -> str:
    options = []
    if row.reset_after is False:
        options.append("reset_after=False")
    if row.coupled:
        options.append("coupled=True")
    if row.activations == ("relu",):
        options.append("activation=relu")
    return f"`{row.kind}({', '.join(['…', *options])})`"


def _biases(row: Layout) -> str:
    names = _text(row.bias)
    if row.second:
        names = f"2: {names}, {_text(row.second)}"
    elif row.both:
        names = f"2 in one: {names}"
    if row.bias_n:
        names += f", and {_text(row.bias_n)}"
    if row.forget_bias:
        names += f"; the code adds {row.forget_bias:g} to f's"
    if row.peephole:
        order = row.peephole_gates.replace("_", "·")
        names += f"; peepholes {' '.join(order)}: `{row.peephole}`"
    if row.projection:
        names += f"; projection `(p, h)`: `{row.projection}`"
    return names


def _plain_rows() -> Iterator[str]:
    places = {
        "": "–",
        "in out": "`(*window, in, out)`",
        "out in": "`(out, in, *window)`",
        "in out first": "`(in, out, *window)`",
        "out in last": "`(*window, out, in)`",
        "in out flipped": "`(*window, in, out)`, the window backwards",
    }
    for row in PLAIN:
        names = ", ".join(f"`{name}`" for name in row.names)
        kernel = places[row.kernel]
        if row.kind == "dense":
            kernel = kernel.replace("*window, ", "").replace(", *window", "")
        yield f"| {row.library} {row.layer} | `{row.kind}` | {names} | {kernel} |"


def _text(names: Names) -> str:
    """A name, or the first and the last of one for each gate."""
    if isinstance(names, str):
        return f"`{names}`"
    return f"`{names[0]}` … `{names[-1]}`"
