"""The windows of convolutions and pooling as a file has them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis


class Window(NamedTuple):
    """A window along some axes; `pads` are pairs, or "same"; `back` of a transposed convolution."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Any
    back: bool = False

    def padding(self) -> Any:
        """A word or a number for jaxnn, where there is one."""
        if self.pads == "same":
            return "same"
        sides = {side for pair in self.pads for side in pair}
        if len(sides) == 1:
            return sides.pop() or "valid"
        if self.pads == ((self.dilations[0] * (self.sizes[0] - 1), 0),):
            return "causal"
        return self.pads

    def slid_along(self, axes: Sequence[Axis]) -> list[Axis]:
        """The axes after it, with their sizes where they are known."""
        return [Axis(self._length(axis.size, place), axis) for place, axis in enumerate(axes)]

    def _length(self, length: int | None, place: int) -> int | None:
        if length is None:
            return None
        stride = self.strides[place]
        span = self.dilations[place] * (self.sizes[place] - 1) + 1
        if self.pads == "same":
            return length * stride if self.back else -(-length // stride)
        cut = sum(self.pads[place])
        if self.back:
            return (length - 1) * stride + span - cut
        return (length + cut - span) // stride + 1


def window_of(options: dict[str, Any], sizes: Sequence[int], back: bool = False) -> Window:
    """The window of a node.

    Raises:
      Refused: for what jaxnn's windows do not have.
    """
    count = len(sizes)
    word = options.get("auto_pad", "NOTSET")
    if word not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise Refused(f"its auto_pad is {word}")
    if options.get("output_shape"):
        raise Refused("it gives its output_shape: give pads")
    if options.get("ceil_mode"):
        raise Refused("it rounds the number of places up")
    pads: Any = "same"
    if word != "SAME_UPPER":
        numbers = [0] * (2 * count) if word == "VALID" else options.get("pads", [0] * (2 * count))
        more = options.get("output_padding", [0] * count)
        highs = [high - extra for high, extra in zip(numbers[count:], more, strict=True)]
        pads = tuple(zip(numbers[:count], highs, strict=True))
        if min(*numbers, *highs) < 0:
            raise Refused("its output_padding is larger than what its pads cut off")
    ones = [1] * count
    strides, dilations = (tuple(options.get(key, ones)) for key in ("strides", "dilations"))
    return Window(tuple(sizes), strides, dilations, pads, back)


def short(numbers: Sequence[int]) -> Any:
    """One number where all are the same."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)
