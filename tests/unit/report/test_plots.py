from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.report.plots import Series, bar_chart, heat_map, line_chart, picture_chart

SVG = "{http://www.w3.org/2000/svg}"


def _elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(SVG + tag))


def _words(svg: str) -> list[str]:
    return [element.text or "" for element in _elements(svg, "text")]


def _tips(svg: str) -> list[str]:
    return [element.text or "" for element in _elements(svg, "title")]


def test_a_line_chart_has_one_line_for_each_series_and_a_legend():
    chart = line_chart(
        [Series(name="train", x=[0, 1], y=[1, 2]), Series(name="test", x=[0, 1], y=[2, 3])],
        title="Loss",
    )

    assert len(_elements(chart, "polyline")) == 2
    assert {"Loss", "train", "test", "step"} <= set(_words(chart))


def test_one_series_needs_no_legend():
    assert "train" not in _words(line_chart([Series(name="train", x=[0], y=[1])], title="Loss"))


def test_every_point_tells_its_number():
    chart = line_chart([Series(name="train", x=[10, 20], y=[0.5, 0.25])], title="Loss")

    assert _tips(chart) == ["train, 10: 0.5", "train, 20: 0.25"]


def test_a_missing_value_leaves_a_gap():
    series = Series(name="a", x=range(5), y=[1.0, 2.0, math.nan, 2.0, math.inf])

    assert len(_elements(line_chart([series], title=""), "polyline")) == 2


def test_points_lie_inside_the_chart_and_higher_values_higher():
    chart = line_chart([Series(name="a", x=[0, 1, 2], y=[-5.0, 0.0, 1e6])], title="")
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in _elements(chart, "circle")]

    assert all(0 <= x <= 560 and 0 <= y <= 300 for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_a_logarithmic_chart_leaves_out_what_is_not_positive():
    series = Series(name="a", x=[0, 1, 2], y=[100.0, 0.0, 1.0])

    assert len(_tips(line_chart([series], title="", log_y=True))) == 2


def test_a_long_curve_stays_small():
    series = Series(name="a", x=range(100_000), y=[math.sin(i / 1000) for i in range(100_000)])

    assert len(line_chart([series], title="")) < 60_000


@pytest.mark.parametrize(
    "series", [[], [Series(name="a", x=[], y=[])], [Series(name="a", x=[1], y=[math.nan])]]
)
def test_a_chart_without_numbers_says_so(series):
    assert "no data" in _words(line_chart(series, title="Loss"))


def test_a_constant_curve_can_be_drawn():
    assert _elements(line_chart([Series(name="a", x=[0, 1], y=[0, 0])], title=""), "polyline")


def test_series_of_unequal_lengths_are_refused():
    with pytest.raises(ConfigError, match="series 'a' has 2 places but 1 values"):
        Series(name="a", x=[0, 1], y=[0])


def test_names_from_outside_are_escaped():
    name = '<script>alert("&")</script>'
    charts = [
        line_chart([Series(name=name, x=[0], y=[1]), Series(name="b", x=[0], y=[1])], title=name),
        bar_chart([name], {name: [1.0]}, title=name),
        heat_map([[1.0]], [name], [name], title=name, x_label=name, y_label=name),
    ]

    for chart in charts:
        assert not _elements(chart, "script")
        assert name in _words(chart)


def test_bars_are_as_long_as_their_numbers():
    chart = bar_chart(["a", "b"], {"A": [0.5, 0.25], "B": [1.0, math.nan]}, title="Accuracy")
    widths = [float(bar.get("width")) for bar in _elements(chart, "rect")]

    assert len(widths) == 3
    assert widths[0] / widths[2] == pytest.approx(2, rel=0.02)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.02)
    assert {"A", "B", "0.5", "nan"} <= set(_words(chart))


def test_negative_bars_end_at_zero():
    left, right = _elements(bar_chart(["a", "b"], {"A": [-1.0, 1.0]}, title=""), "rect")

    ends = float(left.get("x")) + float(left.get("width"))
    assert ends == pytest.approx(float(right.get("x")), abs=0.2)


def test_bars_without_their_group_are_refused():
    with pytest.raises(ConfigError, match=r"2 groups, but \{'A': 1\} values"):
        bar_chart(["a", "b"], {"A": [1.0]}, title="Accuracy")


def test_a_heat_map_has_a_cell_for_each_value_and_shades_the_largest_most():
    chart = heat_map([[0.0, 2.0], [1.0, math.nan]], ["r0", "r1"], ["c0", "c1"], title="Confusion")
    cells = _elements(chart, "rect")

    assert [c.get("fill-opacity") for c in cells] == ["0.06", "1.00", "0.53", None]
    assert _tips(chart) == ["r0, c0: 0", "r0, c1: 2", "r1, c0: 1", "r1, c1: nan"]


def test_a_large_heat_map_leaves_numbers_and_some_names_out():
    names = [f"class {i}" for i in range(100)]
    chart = heat_map([[1.0] * 100] * 100, names, names, title="")

    assert len(_elements(chart, "rect")) == 10_000
    assert len(_words(chart)) < 110


def test_a_large_heat_map_leaves_its_lowest_cells_out():
    names = [f"class {i}" for i in range(100)]
    matrix = [[float(i == j) for j in range(100)] for i in range(100)]

    assert len(_elements(heat_map(matrix, names, names, title=""), "rect")) == 100


def test_a_heat_map_of_the_wrong_size_is_refused():
    with pytest.raises(ConfigError, match=r"values 1 x \[2\], names 1 x 1"):
        heat_map([[1.0, 2.0]], ["r"], ["c"], title="Confusion")


@pytest.mark.parametrize(
    "draw", [lambda: bar_chart([], {}, title="x"), lambda: heat_map([], [], [], title="x")]
)
def test_an_empty_bar_chart_or_heat_map_says_so(draw):
    assert "no data" in _words(draw())


def test_a_picture_fits_into_its_chart_with_sharp_pixels():
    chart = picture_chart(torch.zeros(10, 40, 3, dtype=torch.uint8), title="<wide>", width=416)

    assert 'width="400.0" height="100.0"' in chart
    assert "image-rendering:pixelated" in chart
    assert "&lt;wide&gt;" in chart
