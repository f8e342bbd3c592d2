"""Charts of a report, by bokeh: interactive, and whole in the page with 1.3 MB of its script."""

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.core.properties import value
from bokeh.embed import components
from bokeh.models import ColumnDataSource, FactorRange, Legend, LegendItem, Range1d, Whisker
from bokeh.palettes import Category20_20
from bokeh.plotting import figure
from bokeh.resources import Resources

PALETTE = ("#2e75b6", "#e07b39")  # of the first run and the second
DASHES = ("solid", "dashed")
KIND_COLOURS = ("#8fbf8f", "#f2d16b", "#e07b39", "#9b6fb5", "#b5433f")
MARKED = 30  # of fewer points each is marked
NARROWEST = 520  # pixels; on narrower screens a chart is scrolled
ENTRY = 20  # pixels of a curve in the legend
TOOLS = "pan,box_zoom,wheel_zoom,reset,save"


def draw_lines(
    curves: Sequence[tuple[str, Sequence[float], Sequence[float], str, str]],
    labels: tuple[str, str],
    **options: Any,
) -> Any:
    """A chart of curves (name, x, y, colour, dash); a click on a name hides its curve.

    Args:
      labels: of the axes.
      **options: of bokeh's figure.
    """
    options = dict(height=300) | options
    options["height"] = max(options["height"], ENTRY * len(curves) + 60)
    chart = _figure(*labels, tooltips=[("", "$name"), (labels[0], "$x"), (labels[1], "$y")],
                    **options)  # fmt: skip
    items = []
    for name, x, y, colour, dash in curves:
        line = chart.line(list(x), list(y), color=colour, line_dash=dash, line_width=2, name=name)
        marks = [chart.scatter(list(x), list(y), color=colour, size=5)] if len(x) < MARKED else []
        items.append(_legend_item(name, line, *marks))
    style = dict(click_policy="hide", label_text_font_size="11px", spacing=0)
    chart.add_layout(Legend(items=items, **style), "right")
    chart.y_range.default_span = 0.1  # of a curve that is flat
    return chart


def draw_bars(
    names: Sequence[str],
    runs: Mapping[str, tuple[Sequence[float], Sequence[tuple[float, float]]]],
    label: str,
) -> Any:
    """A chart of a bar a name and run, {run: (values, intervals)}."""
    factors = [(name, run) for name in names for run in runs] if len(runs) > 1 else list(names)
    options = dict(sizing_mode="fixed", width=min(1000, 160 + 90 * len(factors)), height=260)
    options |= dict(
        min_width=None, x_range=FactorRange(*factors), tooltips=[("", "@x"), (label, "@y")]
    )
    chart = _figure("", label, **options)
    for number, (run, (values, intervals)) in enumerate(runs.items()):
        x = [(name, run) for name in names] if len(runs) > 1 else list(names)
        low, high = zip(*intervals, strict=True)
        data = ColumnDataSource(dict(x=x, y=list(values), low=list(low), high=list(high)))
        chart.vbar("x", top="y", width=0.7, color=PALETTE[number], source=data)
        whisker = Whisker(base="x", lower="low", upper="high", source=data)
        chart.add_layout(whisker)
    chart.y_range = Range1d(0, 1)
    return chart


def draw_stack(names: Sequence[str], kinds: Mapping[str, Sequence[float]], label: str) -> Any:
    """A chart of a bar a name, put together of the kinds."""
    chart = _figure(
        "", label, x_range=list(names), tooltips=[("", "$name @x"), ("", "@$name{0.0%}")]
    )
    data = ColumnDataSource({"x": list(names), **{kind: list(v) for kind, v in kinds.items()}})
    bars = chart.vbar_stack(
        list(kinds), x="x", width=0.8, color=KIND_COLOURS[: len(kinds)], source=data
    )
    items = [_legend_item(kind, bar) for kind, bar in zip(kinds, bars, strict=True)]
    chart.add_layout(Legend(items=items, click_policy="mute"), "right")
    chart.y_range.start = 0
    chart.xaxis.major_label_orientation = 0.9
    return chart


def choose_colour(number: int) -> str:
    """The colour of a curve by its number."""
    return Category20_20[(2 * number + number // 10) % 20]


def embed(charts: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """HTML of charts: bokeh's own script, the charts' script, and a place for each."""
    library = Resources(mode="inline", components=["bokeh"]).render()
    script, places = components(dict(charts)) if charts else ("", {})
    return library, script, places


def _figure(x_label, y_label, **options):
    shape = dict(height=300, sizing_mode="stretch_width", min_width=NARROWEST)
    options = shape | dict(tools=TOOLS) | options
    chart = figure(x_axis_label=x_label, y_axis_label=y_label, **options)
    chart.toolbar.logo, chart.toolbar.autohide = None, True
    chart.axis.minor_tick_line_color = None
    return chart


def _legend_item(name, *renderers):
    return LegendItem(label=value(name), renderers=list(renderers))
