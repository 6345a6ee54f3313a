"""Ctrl-C in a loop whose steps must not be cut off, since their inputs are donated."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupts:
    """How often Ctrl-C was pressed, and where the second one may raise."""

    def __init__(self) -> None:
        self.count = 0
        self._may_raise = False

    @contextlib.contextmanager
    def may_raise(self) -> Iterator[None]:
        """Within this the second Ctrl-C raises KeyboardInterrupt: a batch may hang."""
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler; from the third on it raises anywhere, so that nothing hangs for ever."""
        del number, frame
        self.count += 1
        if self.count > 2 or (self.count == 2 and self._may_raise):
            raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Collect Ctrl-C, and put the handler back at the end."""
    found = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    # Handlers belong to the main thread; None is one that Python did not set and cannot restore.
    main = threading.current_thread() is threading.main_thread()
    if not main or before is None or before == signal.SIG_IGN:
        yield found
        return
    signal.signal(signal.SIGINT, found.note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
