"""What a request will cost, before it is sent: rather too much than too little, and closer with every answer."""

from __future__ import annotations

import threading
from collections import deque

#: Of the first guess: pixels and UTF-8 bytes per token, and what frames a conversation.
PIXELS, BYTES, FRAME = 784, 2, 100
#: Answers that are remembered, and how much above the dearest of them the next may be.
MEMORY, ABOVE = 64, 1.1


class Estimator:
    """Input tokens by a simple guess, times the highest ratio of what came to what was guessed; output tokens by the
    most that is allowed. Threads share it."""

    def __init__(self, most_output: int) -> None:
        self.most_output = most_output
        self._ratios: deque[float] = deque(maxlen=MEMORY)
        self._lock = threading.Lock()

    def input_tokens(self, text: str, width: int, height: int) -> int:
        """Of a request with a text and a picture of so many pixels."""
        with self._lock:
            ratio = max(self._ratios) * ABOVE if self._ratios else 1.0
        return round(guess(text, width, height) * ratio)

    def learn(self, text: str, width: int, height: int, came: int) -> None:
        """What the server counted."""
        with self._lock:
            self._ratios.append(came / guess(text, width, height))


def guess(text: str, width: int, height: int) -> int:
    """A 28 x 28 pixel patch is a token for Qwen-VL; few texts have more than a token per two bytes."""
    return FRAME + len(text.encode("utf-8", "replace")) // BYTES + width * height // PIXELS
