"""Directories are made, measured and removed, whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from antiphon.domain import limits
from antiphon.domain.ids import new_uid7
from antiphon.sandbox.directories import Directories, Size, measure, remove_tree


def test_a_place_keeps_its_name(tmp_path: Path) -> None:
    name = Directories(tmp_path / "a").place()
    assert Directories(tmp_path / "a").place() == name
    assert Directories(tmp_path / "b").place() != name
    assert os.listdir(tmp_path / "a") == ["place"]


def test_what_is_made_is_listed_and_removed(tmp_path: Path) -> None:
    directories = Directories(tmp_path)
    directories.place()
    keys = [(new_uid7(), new_uid7()) for _ in range(3)]
    for key in keys:
        directories.make(*key, owner=None)
    (tmp_path / "stranger").mkdir()
    assert sorted(directories.all()) == sorted(keys)
    assert directories.path_of(*keys[0]).stat().st_mode & 0o777 == 0o700
    assert directories.remove(*keys[0]) == 0
    assert directories.remove(*keys[0]) == 0
    assert sorted(directories.all()) == sorted(keys[1:])


def test_removal_follows_no_link_and_minds_no_mode(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("x")
    os.symlink(outside, tree / "link")
    os.symlink(outside / "kept", tree / "a" / "link")
    os.mkfifo(tree / "a" / "pipe")
    (tree / "a" / "b").chmod(0)
    (tree / "a").chmod(0)
    tree.chmod(0)
    assert remove_tree(tree) == 4
    assert not tree.exists()
    assert (outside / "kept").read_text() == "x"
    assert outside.stat().st_mode & 0o777 != 0


def test_removal_minds_no_depth(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    at = os.open(tree, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d" * 100, dir_fd=at)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=at))
    os.close(at)
    assert remove_tree(tree) == 1
    assert not tree.exists()


def test_a_measure_counts_and_follows_no_link(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_bytes(b"x" * 100_000)
    os.symlink("/", tree / "root")
    size = measure(tree)
    assert (size.files, size.depth, size.hidden) == (4, 2, 0)
    assert 100_000 <= size.bytes < 200_000
    assert size.excess is None
    assert measure(tmp_path / "none") == Size()


@pytest.mark.parametrize(
    ("name", "most", "words"),
    [
        ("SANDBOX_FILES", 2, "more than 2 files"),
        ("SANDBOX_DEPTH", 1, "nested deeper than 1"),
        ("SANDBOX_BYTES", 0, "more than 0 bytes"),
    ],
)
def test_what_is_too_much_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int, words: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    monkeypatch.setattr(limits, name, most)
    excess = measure(tmp_path).excess
    assert excess is not None
    assert words in excess


def test_a_measure_is_worse_when_anything_has_grown() -> None:
    assert Size(1, 1, 1).is_worse_than(Size(1, 1, 0)) is True
    assert Size(1, 0, 1).is_worse_than(Size(1, 1, 1)) is False
