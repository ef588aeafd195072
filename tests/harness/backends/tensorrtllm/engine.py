"""A language model that is none: says the prompt's words again, one token each, at the pace of a real engine.

It serves at most ``slots`` requests at once and makes the others wait, as an engine with in-flight batching does.
"""

import threading
import time

SECONDS_PER_TOKEN = 0.002
DEFAULT_TOKENS = 16


class Engine:
    def __init__(self, slots, context_tokens=None):
        self.slots = threading.BoundedSemaphore(slots)
        self.context_tokens = context_tokens

    def generate(self, prompt, maximum_tokens=None):
        """Yields the tokens. Raises ValueError where prompt and answer together exceed the context."""
        words = prompt.split() or ["…"]
        count = DEFAULT_TOKENS if maximum_tokens is None else maximum_tokens
        if self.context_tokens is not None and len(words) + count > self.context_tokens:
            raise ValueError(
                f"prompt of {len(words)} and answer of {count} tokens exceed the context of {self.context_tokens}"
            )
        with self.slots:
            for i in range(count):
                time.sleep(SECONDS_PER_TOKEN)
                yield " " + words[i % len(words)]
