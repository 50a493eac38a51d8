from __future__ import annotations

from typing import Any

from facekd.reporting.tables.table import Table


def metric(values: list[float], mean: float, std: float | None = None) -> dict[str, Any]:
    return {"mean": mean, "std": std, "n": len(values), "values": values, "intervals": [[0.1, 0.3]] * len(values),
            "mean_interval": [0.1, 0.3]}


def table(**metrics: dict[str, Any]) -> Table:
    """A table with one group of three runs, one headline metric and another one."""
    model = {"name": "m", "size": 32, "outputs": 10, "options": {}}
    group = {"name": "a|b", "model": model, "parameters": 849_000, "hardware": "cpu2", "runs": ["a-s0", "a-s1", "a-s2"],
             "seeds": [0, 1, 2], "metrics": metrics}
    return Table({"metrics": [{"key": "x", "label": "test\nx", "headline": True},
                              {"key": "y", "label": "test\ny", "headline": False}],
                  "groups": [group], "notes": ["a <note>"]})


def test_cells_of_several_seeds_have_mean_deviation_and_interval() -> None:
    header, [row] = table(x=metric([0.1, 0.2, 0.3], 0.2, 0.1)).cells()
    assert header == ["name", "model", "parameters", "seeds", "test\nx", "test\ny"]
    assert row == ["a|b", "m\n32 px, 10-d", "0.849 M", "3", "20.00 ± 10.00\n[10.00, 30.00]", "–"]


def test_a_metric_of_some_seeds_has_their_number() -> None:
    _, [row] = table(x=metric([0.2], 0.2)).cells()
    assert row[4] == "20.00 (n = 1)\n[10.00, 30.00]"


def test_the_short_form_has_the_headline_metrics_only() -> None:
    header, [row] = table(x=metric([0.2], 0.2), y=metric([0.2], 0.2)).cells(full=False)
    assert header[4:] == ["test\nx"] and len(row) == 5


def test_the_footer_explains_the_cells_that_occur() -> None:
    one_seed, several_seeds = table(x=metric([0.2], 0.2)), table(x=metric([0.1, 0.2], 0.15, 0.07))
    assert any("One seed" in line for line in one_seed.footer)
    assert not any("Several seeds" in line for line in one_seed.footer)
    assert any("Several seeds" in line for line in several_seeds.footer)
    assert several_seeds.footer[-1] == "a <note>"


def test_markdown_escapes_bars_and_tags() -> None:
    text = table(x=metric([0.2], 0.2)).to_markdown()
    assert "| a\\|b |" in text and "a &lt;note&gt;" in text
    assert text.splitlines()[1] == "| --- | --- | --- | --- | --- |"


def test_html_has_every_metric_and_the_footer() -> None:
    page = table(x=metric([0.2], 0.2)).to_html()
    assert "<th>test\ny</th>" in page and "a &lt;note&gt;" in page


def test_the_dictionary_gives_an_equal_table() -> None:
    original = table(x=metric([0.2], 0.2))
    assert Table(original.to_dict()) == original and original.to_dict() is not original.summary
