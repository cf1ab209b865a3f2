"""One result of the check of a screen, and errors in words."""

from dataclasses import dataclass
from typing import Literal

from wellspring.io import credentials, object_store


@dataclass(frozen=True)
class Finding:
    """One result: ``ok``, ``warning`` (the screen can run) or ``problem`` (it cannot), of ``what``, in ``words``.

    ``notes``: reasons as text (:mod:`wellspring.io.notes`), which follow the words.
    """

    grade: Literal["ok", "warning", "problem"]
    what: str
    words: str
    notes: str = ""

    def __post_init__(self) -> None:
        """Mask credentials, which an error of another program may repeat."""
        object.__setattr__(self, "words", credentials.redacted(self.words))


def message(error: Exception, *, url: str = "") -> str:
    """Return an error in words, whole; a refusal of an object store comes with its address and the key."""
    words = str(error) if isinstance(error, ValueError | OSError) and str(error) else f"{type(error).__name__}: {error}"
    if object_store.is_url(url) and any(word in words.casefold() for word in ("forbidden", "denied", "credentials")):
        words += (
            f" ({url}: index.object_store.anonymous reads without credentials where true, with the user's where false)"
        )
    return words
