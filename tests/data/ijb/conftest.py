"""Protocols in the formats of IJB-B and IJB-C with invented content; the real ones may not be redistributed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.ijb.protocol_files import GALLERY_1, GALLERY_2, IMAGES, LANDMARKS, MATCHES, PAIRS, PROBES, write_lines


@pytest.fixture
def insightface(tmp_path: Path) -> Path:
    """InsightFace's files of IJB-C in the folder ``meta``."""
    write_lines(tmp_path / "meta/ijbc_face_tid_mid.txt", IMAGES)
    scores = [f"{line.split()[0]} {LANDMARKS} 0.{9 - row}" for row, line in enumerate(IMAGES)]
    write_lines(tmp_path / "meta/ijbc_name_5pts_score.txt", scores)
    write_lines(tmp_path / "meta/ijbc_template_pair_label.txt", PAIRS)
    write_lines(tmp_path / "meta/ijbc_1N_gallery_G1.csv", GALLERY_1)
    write_lines(tmp_path / "meta/ijbc_1N_gallery_G2.csv", GALLERY_2)
    write_lines(tmp_path / "meta/ijbc_1N_probe_mixed.csv", PROBES)
    return tmp_path


@pytest.fixture
def nist(tmp_path: Path) -> Path:
    """NIST's files of IJB-C in the folder ``protocols``."""
    write_lines(tmp_path / "protocols/ijbc_1N_gallery_G1.csv", GALLERY_1)
    write_lines(tmp_path / "protocols/ijbc_1N_gallery_G2.csv", GALLERY_2)
    write_lines(tmp_path / "protocols/ijbc_1N_probe_mixed.csv", PROBES)
    write_lines(tmp_path / "protocols/ijbc_11_G1_G2_matches.csv", MATCHES)
    return tmp_path
