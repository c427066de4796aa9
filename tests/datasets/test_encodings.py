"""Which encoding a text has."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.datasets.encodings import decode

ENGLISH = "clip,subject,label\nc/a,p1,anger\n"
CHINESE = "片段,被试,label\n录像/张三_01,张三,高兴\n录像/李四,李四,惊讶\n"
GERMAN = "Clip;Person;Gefühl\nMüller/1;Jürgen Groß;Überraschung\nz/2;Zoë;größere Freude\n"
FRENCH = "clip;sujet;émotion\nété;Hélène Noël;dégoût\nannée;François;créée à\u00a0part\n"
PORTUGUESE = "clipe;sujeito;emoção\na;João;emoções\nb;Conceição;ação\n"
SPANISH = "clip;niño;emoción\na;Íñigo;desdén\n"
RARE = "clip,被试,label\nc/a,陶喆,高兴\nc/b,朱镕基,厌恶\n"
WESTERN = [GERMAN, FRENCH, PORTUGUESE, SPANISH, "clip;label\na;größer\n", "clip;label\na;Ärger\n"]
TEXTS = [ENGLISH, CHINESE, *WESTERN, RARE]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig"])
def test_utf_8_is_known_with_and_without_a_mark(text, codec):
    assert decode(text.encode(codec)) == (text, "UTF-8")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_known_with_and_without_a_mark(text, codec):
    assert decode(text.encode(codec)) == (text, "UTF-16")


@pytest.mark.parametrize("text", [CHINESE, RARE, "clip,label\nc/a,高兴\n", "p1张,a\n"])
@pytest.mark.parametrize("codec", ["gbk", "gb18030"])
def test_chinese_is_known(text, codec):
    assert decode(text.encode(codec)) == (text, "GB18030")


@pytest.mark.parametrize("text", WESTERN)
@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_western_accents_are_known(text, codec):
    assert decode(text.encode(codec)) == (text, "cp1252")


def test_typographic_marks_of_windows_are_known():
    text = "clip;note\na;\u201cno smile\u201d \u2013 \u20ac5\n"
    assert decode(text.encode("cp1252")) == (text, "cp1252")


@pytest.mark.parametrize(
    "encoded",
    [bytes(99), b"\0" * 7 + b"a", b"\x81\x20\x8d\x20", b"\xff\xfea", ENGLISH.encode("utf-32")],
)
def test_what_is_no_text_is_refused(encoded):
    with pytest.raises(UnicodeError):
        decode(encoded)


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_a_text_or_refused(encoded):
    with contextlib.suppress(UnicodeError):
        assert decode(encoded)[1] in ("UTF-8", "UTF-16", "GB18030", "cp1252")


def test_one_zero_byte_does_not_spoil_a_text():
    assert decode(b"clip,subject\nc/\0a,p1\n") == ("clip,subject\nc/\0a,p1\n", "UTF-8")
