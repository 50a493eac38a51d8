from __future__ import annotations

import io
import zipfile

import pytest
import torch

from facekd.io.torch_archive import measure_archive


@pytest.fixture
def saved() -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(1 << 16)}, buffer)
    return buffer


def test_what_torch_saves_does_not_grow(saved: io.BytesIO) -> None:
    size = measure_archive(saved)
    assert size.stored == len(saved.getvalue()) > size.unfolded > 4 << 16
    assert not size.grows


@pytest.mark.parametrize("content", [bytes(1 << 20), b"short"])
def test_a_compressed_record_grows_whatever_the_directory_says(content: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", content)
    size = measure_archive(buffer)
    assert (size.unfolded, size.compressed, size.grows) == (len(content), True, True)


def test_a_directory_that_states_more_than_the_file_has_grows(saved: io.BytesIO) -> None:
    content = saved.getvalue()
    entry = content.index(b"PK\x01\x02")
    stated = bytearray(content)
    stated[entry + 24 : entry + 28] = (1 << 30).to_bytes(4, "little")  # the size of the first record when it is read
    size = measure_archive(io.BytesIO(bytes(stated)))
    assert not size.compressed and size.unfolded > 1 << 30 and size.grows


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(zipfile.BadZipFile):
        measure_archive(io.BytesIO(b"\x80\x04N."))
