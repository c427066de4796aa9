"""The encoding of a text of unknown origin: UTF-8, UTF-16, GB18030 or cp1252.

GB18030 contains GBK and GB2312, cp1252 the letters of latin-1. Pure.
"""

from __future__ import annotations

import codecs
import re

UTF_8, UTF_16, GB18030, CP1252 = "UTF-8", "UTF-16", "GB18030", "cp1252"

_MARKS = (
    (codecs.BOM_UTF8, UTF_8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, UTF_16, "utf-16"),
    (codecs.BOM_UTF16_BE, UTF_16, "utf-16"),
)
_ZEROS_ONE_IN = 8  # a table in UTF-16 has more: its separators and digits are ASCII
_FOREIGN = re.compile(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)")


def decode(encoded: bytes) -> tuple[str, str]:
    """Decode a text, and name its encoding.

    Raises:
        UnicodeError: no known encoding gives a text.
    """
    for mark, name, codec in _MARKS:
        if encoded.startswith(mark):
            return _without_zeros(encoded.decode(codec)), name
    if encoded.count(0) * _ZEROS_ONE_IN > len(encoded):
        # UTF-16 without a mark: every second byte of its ASCII characters is 0.
        is_little = encoded[1::2].count(0) > encoded[::2].count(0)
        text = encoded.decode("utf-16-le" if is_little else "utf-16-be")
        return _without_zeros(text), UTF_16
    if (utf_8 := _try(encoded, "utf-8")) is not None:
        return utf_8, UTF_8
    chinese, western = _try(encoded, "gb18030"), _try(encoded, "cp1252")
    if chinese is not None and (western is None or _is_chinese(chinese)):
        return chinese, GB18030
    if western is None:
        raise UnicodeError("no known encoding")
    return western, CP1252


def _without_zeros(text: str) -> str:
    if "\0" in text:  # UTF-32, or no text at all
        raise UnicodeError("zeros between the characters")
    return text


def _try(encoded: bytes, codec: str) -> str | None:
    try:
        return encoded.decode(codec)
    except UnicodeDecodeError:
        return None


def _is_chinese(text: str) -> bool:
    """Whether most foreign characters of a text are common Chinese ones.

    An accented letter of cp1252 and the letter after it decode as one rare character, and two
    accented letters as one common character with Latin letters around it.
    """
    n_common = n_foreign = 0
    for before, characters, after in _FOREIGN.findall(text):
        n_foreign += len(characters)
        if not (before and after and len(characters) == 1):
            n_common += sum(_is_common(character) for character in characters)
    return 2 * n_common > n_foreign


def _is_common(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
