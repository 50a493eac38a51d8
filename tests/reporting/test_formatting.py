from __future__ import annotations

from facekd.reporting import formatting


def test_percent_has_two_decimals() -> None:
    assert formatting.percent(0.98765) == "98.77"


def test_absent_figure_is_a_dash_without_an_interval() -> None:
    assert formatting.with_interval(None, None) == "–"


def test_interval_is_in_percent() -> None:
    assert formatting.with_interval(0.5, (0.4, 0.6125)) == "50.00 [40.00, 61.25]"


def test_nats_have_four_decimals() -> None:
    assert (formatting.nats(1.23456), formatting.nats(None)) == ("1.2346", "–")


def test_millions_keep_three_figures() -> None:
    assert [formatting.millions(n) for n in (849_000, 12_345_678, 123_456_789)] == ["0.849 M", "12.3 M", "123 M"]


def test_flatten_yields_dotted_keys_in_order() -> None:
    nested = {"b": {"x": 1, "y": None}, "a": [1, 2], "big": 12345, "yes": True, "list": [{"k": 0.5}],
              "curve": list(range(100))}
    assert list(formatting.flatten(nested)) == [
        ("b.x", "1"), ("b.y", "–"), ("a", "1, 2"), ("big", "12,345"), ("yes", "yes"), ("list.0.k", "0.5"),
        ("curve", "100 values"),
    ]


def test_flatten_writes_a_latency_as_one_sentence() -> None:
    record = {"median_ms": 3.14159, "quartiles_ms": [3.0, 3.3], "p95_ms": 4.0, "repeats": 100}
    sentence = "3.14 ms (quartiles 3.00 to 3.30, 95 % within 4.00)"
    assert list(formatting.flatten({"latency": record})) == [("latency", sentence)]


def test_model_of_a_class_set_shows_its_outputs() -> None:
    assert formatting.model({"name": "m", "size": 32, "outputs": 100, "options": {}}) == "m, 32 px, 100-d"


def test_model_names_a_width_other_than_one() -> None:
    half = {"name": "m", "size": 64, "outputs": 128, "options": {"width": 0.5}}
    full = {"name": "m", "size": 112, "outputs": 512, "options": {"width": 1.0}}
    assert formatting.model(half) == "m x0.5, 64 px, 128-d"
    assert formatting.model(full) == "m, 112 px, 512-d"
