"""Which known names a misspelt one may have meant."""

import difflib
from functools import lru_cache


@lru_cache(maxsize=4096)
def nearest(word: str, known: tuple[str, ...], most: int = 4, cutoff: float = 0.6) -> tuple[str, ...]:
    """The ``most`` names of ``known`` most like ``word``, best first; ``cutoff`` is the least likeness, 0 to 1.

    Likeness is the share of matching blocks (Ratcliff and Obershelp, as in difflib). Remembered, because a cluster
    asks the same thousand times: comparing one word with 150 names takes a millisecond.
    """
    return tuple(difflib.get_close_matches(word, known, n=most, cutoff=cutoff))
