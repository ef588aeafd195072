"""Which known names a misspelt one may have meant."""

import difflib
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def nearest(word: str, known: tuple[str, ...], most: int = 4, cutoff: float = 0.6) -> tuple[str, ...]:
    """The ``most`` names of ``known`` most like ``word``, best first; ``cutoff`` is the least likeness, 0 to 1.

    Likeness is the share of matching blocks (Ratcliff and Obershelp, as in difflib). Remembered, because a cluster
    asks the same thousand times: comparing one word with 150 names takes a millisecond.
    """
    return tuple(difflib.get_close_matches(word, known, n=most, cutoff=cutoff))


def slip_of(word: str, known: Iterable[str], *, letters: bool = True) -> str | None:
    """The known name that ``word`` has all the characters of in another order or with other separators; or, with
    ``letters``, but for one letter. None where there is none, or where ``word`` is known: us-east-2 is no us-east-1."""
    names = sorted(known)
    if word in names:
        return None
    bare = _bare(word)
    found = next((name for name in names if sorted(_bare(name)) == sorted(bare)), None)
    if found is None and letters:
        found = next((name for name in names if _one_letter_apart(bare, _bare(name))), None)
    return found


def _bare(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())


def _one_letter_apart(one: str, other: str) -> bool:
    """One letter too many, too few, or another."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    if len(longer) - len(shorter) > 1 or len(shorter) < 4:
        return False
    place = next((at for at, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), len(shorter))
    after = place + (len(longer) == len(shorter))
    rest = longer[place + 1 :] == shorter[after:]
    changed = longer[place] + (shorter[place] if len(longer) == len(shorter) else "")
    return rest and changed.isalpha()
