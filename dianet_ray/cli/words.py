"""What a user typed: refused where it is no text, or names a path that cannot be used."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from dianet_ray.errors import InputError

_OF_PATHS = (
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EACCES, errno.EPERM),
)
"""What a path answers that a user named wrongly."""

_N_SHOWN = 80


def check_text(words: Sequence[str]) -> None:
    """Refuse what is no UTF-8: it could be written into no JSON, table or page.

    Raises:
        InputError: names the word.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"names and values must be UTF-8: got {word!a}") from None


def unusable(error: OSError) -> InputError:
    """Say that a path cannot be used, in one line.

    Raises:
        OSError: the error is not one of a path.
    """
    name = str(error.filename or "")
    if error.errno not in _OF_PATHS or not name:
        raise error
    shown = name if len(name) <= _N_SHOWN else f"{name[:_N_SHOWN]}..."
    return InputError(f"a path must be usable: {error.strerror}: {shown!r}")
