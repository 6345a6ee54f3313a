"""Both ways at once: how the parameters of a model are arrays by name, and the way back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxnn.types import Params

Arrays = Mapping[str, Any]


class Codec(NamedTuple):
    """Parameters as arrays by name, and back.

    `write(params)` may be traced, which tells the names and shapes that `read(arrays)` needs. What
    `read` gives has the leaves of the parameters in their order, in containers of any kind.
    """

    write: Callable[[Params], dict[str, Any]]
    read: Callable[[Arrays], Any]


class NoHomeError(ValueError):
    """What the library has no place for: the reasons, one a part."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


EMPTY = Codec(lambda params: {}, lambda arrays: ())


def renamed(codec: Codec, names: Callable[[str], str]) -> Codec:
    """The same arrays by other names; `names` gives each of them."""

    def write(params: Params) -> dict[str, Any]:
        return {names(name): array for name, array in codec.write(params).items()}

    def read(arrays: Arrays) -> Any:
        return codec.read(_Renamed(arrays, names))

    return Codec(write, read)


class _Renamed(Mapping[str, Any]):
    """A view of arrays by other names: what a codec asks for is looked up under the full name."""

    def __init__(self, arrays: Arrays, names: Callable[[str], str]) -> None:
        self._arrays, self._names = arrays, names

    def __getitem__(self, name: str) -> Any:
        return self._arrays[self._names(name)]

    def __contains__(self, name: object) -> bool:
        return self._names(str(name)) in self._arrays

    def __iter__(self) -> Any:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def together(codecs: Sequence[Codec]) -> Codec:
    """Of params that are a tuple, one entry a codec."""

    def write(params: Params) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for codec, part in zip(codecs, params, strict=True):
            arrays |= codec.write(part)
        return arrays

    return Codec(write, lambda arrays: tuple(codec.read(arrays) for codec in codecs))


def best(codecs: Sequence[Codec], shapes: Params, given: Collection[str] | None) -> Codec:
    """The codec with the most names among those given, and the fewest others; else the first."""
    if given is None or len(codecs) == 1:
        return codecs[0]

    def fit(codec: Codec) -> int:
        names = jax.eval_shape(codec.write, shapes).keys()
        return 2 * len(names & set(given)) - len(names)

    return max(codecs, key=fit)
