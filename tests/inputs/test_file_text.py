"""A file is read once and to its end, or given up: pipes, devices, names that no file has."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from accel_scaling.inputs import bounds
from accel_scaling.inputs.file_text import MissingFileError, NotUtf8Error, UnreadableError, is_file, read_text


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/urandom"])
def test_a_device_without_an_end_is_given_up(device: str) -> None:
    with pytest.raises(UnreadableError, match=r"It has no end within 8\.4 MB"):
        read_text(Path(device))


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableError, match=r"It has 1,099,511\.6 MB, and at most 8\.4 MB are read"):
        read_text(path)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "a/" * 3000])
def test_a_name_that_no_file_has_is_said(name: str) -> None:
    assert not is_file(Path(name))
    with pytest.raises(UnreadableError, match=r"File name too long|No file has such a name"):
        read_text(Path(name))


def test_a_named_pipe_is_read_once_and_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "a: b\n" * 30_000  # more than a pipe holds
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    assert read_text(pipe) == text
    writer.join()


def test_a_pipe_that_nobody_writes_into_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(bounds, "PIPE_OPENS_S", 0.05)
    with pytest.raises(UnreadableError, match=r"No program writes into this pipe, 0\.05 s after it was opened"):
        read_text(pipe)


def test_a_pipe_that_stays_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(bounds, "PIPE_OPENS_S", 0.05)
    monkeypatch.setattr(bounds, "PIPE_SILENCE_S", 0.05)
    silent = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(UnreadableError, match=r"Nothing came from it for 0\.05 s"):
            read_text(pipe)
        os.write(silent, b"a")
        with pytest.raises(UnreadableError, match=r"Nothing came from it for 0\.05 s"):
            read_text(pipe)
    finally:
        os.close(silent)


def test_an_empty_pipe_whose_writer_has_gone_is_an_empty_text() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert read_text(Path(f"/dev/fd/{reading}")) == ""
    os.close(reading)


def test_a_folder_a_missing_file_and_another_encoding_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="Is a directory"):
        read_text(tmp_path)
    with pytest.raises(MissingFileError):
        read_text(tmp_path / "none")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableError, match="Too many levels of symbolic links"):
        read_text(loop)
    (tmp_path / "latin").write_bytes(b"a\n\xe9\n")
    with pytest.raises(NotUtf8Error) as refused:
        read_text(tmp_path / "latin")
    assert refused.value.line == 2
