"""The secret of an instance: made once, whole, for its owner alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from antiphon.domain.errors import StoreUnavailable
from antiphon.webhooks.secret_file import FILE_NAME, read_or_make


def test_it_is_made_once(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    secret = read_or_make(directory)
    assert len(secret) >= 43
    assert read_or_make(directory) == secret != read_or_make(tmp_path / "other")
    assert (directory / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in directory.iterdir()] == [FILE_NAME]


def test_all_that_start_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(read_or_make, [tmp_path / "data"] * 64))) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(StoreUnavailable, match="holds no secret"):
        read_or_make(tmp_path)


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=FILE_NAME):
        read_or_make(tmp_path / "file")
