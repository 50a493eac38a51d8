from __future__ import annotations

from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.reporting.results.published import PublishedFigure, normalize_method_name, read_published

CONTENT = """dataset,teacher,student,method,top1,source
cifar100,resnet56,resnet20,KD,70.60,One README
cifar100,resnet56,resnet20,KD+LS,71.43,Another README
cifar100,resnet110,resnet20,KD,70.67,One README
"""


@pytest.mark.parametrize(("ours", "printed"), [("kd_ls", "KD+LS"), ("kd-std", "KD+LS"), ("labels", "student"),
                                               ("hint", "FitNet"), ("ie-kd", "IE-KD")])
def test_our_name_and_the_printed_one_are_normalized_alike(ours: str, printed: str) -> None:
    assert normalize_method_name(ours) == normalize_method_name(printed)


def test_different_methods_keep_different_names() -> None:
    assert len({normalize_method_name(name) for name in ("kd", "dkd", "rkd", "kd-std")}) == 4


def test_figures_of_one_pair_are_read_as_printed(tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text(CONTENT)
    assert read_published(file, "cifar100", "resnet56", "resnet20") == {
        "kd": PublishedFigure("70.60", "One README"), "kdls": PublishedFigure("71.43", "Another README"),
    }


def test_a_pair_that_is_not_listed_and_a_file_that_does_not_exist_have_no_figures(tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text(CONTENT)
    assert read_published(file, "imagenet", "resnet56", "resnet20") == {}
    assert read_published(tmp_path / "absent.csv", "cifar100", "resnet56", "resnet20") == {}


def test_a_figure_that_is_no_number_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text(CONTENT.replace("71.43", "about 71"))
    with pytest.raises(DataError, match=r"classes\.csv:3: top1 must be a number, not 'about 71'"):
        read_published(file, "cifar100", "resnet56", "resnet20")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text("dataset,teacher,student,method,top1\n")
    with pytest.raises(DataError, match=r"classes\.csv:1: no valid header"):
        read_published(file, "cifar100", "resnet56", "resnet20")
