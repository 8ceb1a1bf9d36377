"""WordPiece: the words of a text, cut into what a vocabulary has."""

from __future__ import annotations

import pytest

from antiphon.embedding.wordpiece import WordPiece

PIECES = (
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "un",
    "##happ",
    "##y",
    "cafe",
    "a",
    "b",
    "!",
    "'",
    "t",
    "don",
    "日",
    "本",
    "-",
    "x",
)
VOCABULARY = {piece: number for number, piece in enumerate(PIECES)}


def pieces_of(text: str, most: int = 100) -> list[str]:
    """What is read, without the marks around it."""
    first, *rest, last = WordPiece(VOCABULARY, most).numbers_of(text)
    assert (PIECES[first], PIECES[last]) == ("[CLS]", "[SEP]")
    return [PIECES[number] for number in rest]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \t\n", []),
        ("a b", ["a", "b"]),
        ("A\u00a0B\u2028a", ["a", "b", "a"]),
        ("unhappy", ["un", "##happ", "##y"]),
        ("unhappyx", ["[UNK]"]),
        ("Café CAFE\u0301", ["cafe", "cafe"]),
        ("don't!", ["don", "'", "t", "!"]),
        ("日本a", ["日", "本", "a"]),
        ("a\x00\u200b\ufeff\x07b", ["[UNK]"]),
        ("a\u200bx", ["[UNK]"]),
        ("a" * 101, ["[UNK]"]),
        ("a-b - x", ["a", "-", "b", "-", "x"]),
        ("🦜 a", ["[UNK]", "a"]),
    ],
)
def test_a_text_is_cut_as_the_model_was_taught(text: str, pieces: list[str]) -> None:
    assert pieces_of(text) == pieces


def test_what_is_too_long_is_cut_off() -> None:
    assert pieces_of("a b " * 100, most=6) == ["a", "b", "a", "b"]
    assert pieces_of("unhappy " * 3, most=6) == ["un", "##happ", "##y", "un"]
