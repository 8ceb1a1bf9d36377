"""WordPiece, as BERT's uncased models read texts: words without case and accents, cut into pieces of a vocabulary.

The rules are those of the models' own tokenizer (Devlin et al. 2018, and the `tokenizer.json` that comes with them).
Ninety lines, where the library for it comes with a client of a model hub and ten more packages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

_BEGIN, _END, _UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
_WORD_CHARACTERS = 100  # a longer word is unknown
_CHARACTERS = 4_096  # that are remembered: asking about each again takes five times as long
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Reads texts as numbers of a vocabulary, at most `most` of them for a text, its two marks among them."""

    def __init__(self, vocabulary: Mapping[str, int], most: int) -> None:
        self._vocabulary = vocabulary
        self._most = most

    def numbers_of(self, text: str) -> list[int]:
        """The numbers of a text between the marks of its begin and its end; what is too long is cut off."""
        numbers = [self._vocabulary[_BEGIN]]
        for word in _words(text):
            numbers += self._pieces(word)
            if len(numbers) >= self._most:
                break
        return [*numbers[: self._most - 1], self._vocabulary[_END]]

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces of a word from its left; unknown as a whole when a rest is in no piece."""
        if len(word) > _WORD_CHARACTERS:
            return [self._vocabulary[_UNKNOWN]]
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._vocabulary.get(("##" if start else "") + word[start:end])
                if number is not None:
                    pieces.append(number)
                    start = end
                    break
            else:
                return [self._vocabulary[_UNKNOWN]]
        return pieces


def _words(text: str) -> Iterator[str]:
    """The words of a text, and its punctuation and ideographs one by one."""
    for word in "".join(map(_shown, text)).split():
        plain = word if word.isascii() else _without_accents(word)
        part = ""
        for character in plain.lower():
            if not _is_punctuation(character):
                part += character
                continue
            if part:
                yield part
            yield character
            part = ""
        if part:
            yield part


def _without_accents(word: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", word) if unicodedata.category(each) != "Mn")


@lru_cache(_CHARACTERS)
def _shown(character: str) -> str:
    """A character as it is read: controls are nothing, white space is one space, an ideograph is a word."""
    if character in "\t\n\r":
        return " "
    category = unicodedata.category(character)
    if character in "\0\ufffd" or category in {"Cc", "Cf", "Co", "Cs"}:
        return ""
    if category == "Zs":
        return " "
    code = ord(character)
    return f" {character} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else character


@lru_cache(_CHARACTERS)
def _is_punctuation(character: str) -> bool:
    code = ord(character)
    is_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return is_ascii or unicodedata.category(character).startswith("P")
