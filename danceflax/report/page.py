"""The page: sections put into one HTML file. Whatever text is given is shown as text."""

import base64
import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup

from danceflax.io.console import console
from danceflax.io.files import write_text
from danceflax.report import charts
from danceflax.report.bootstrap import Interval, Intervals

QUALITY = 75  # of pictures, percent
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("danceflax.report", "."), autoescape=True, trim_blocks=True,
    lstrip_blocks=True, undefined=jinja2.StrictUndefined,
)  # fmt: skip


class Cell(NamedTuple):
    """A shaded cell of a table: two texts, and how dark, 0 to 1."""

    text: str
    below: str
    shade: float


class Section(NamedTuple):
    """A part of the page: all but the title may be left out.

    Attributes:
      title, text: what stands above.
      charts: [(caption, chart of `charts`)].
      tables: [(caption, header, rows of texts or `Cell`s)].
      pictures: [(caption, RGB image)].
      folded: whether it opens on a click only.
    """

    title: str
    text: str = ""
    charts: Sequence[tuple[str, Any]] = ()
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Any]]]] = ()
    pictures: Sequence[tuple[str, UInt8[np.ndarray, "H W 3"]]] = ()
    folded: bool = False


def write_page(path: str | os.PathLike, title: str, sections: Sequence[Section]) -> None:
    """Writes the page and says where it is."""
    drawn = {
        f"{s}_{n}": chart for s, section in enumerate(sections)
        for n, (_, chart) in enumerate(section.charts)
    }  # fmt: skip
    library, script, places = charts.embed(drawn)
    html = TEMPLATES.get_template("page.html").render(
        title=title,
        time=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        sections=sections,
        library=Markup(library),
        script=Markup(script),
        places={name: Markup(place) for name, place in places.items()},
        data_uri=data_uri,
    )
    write_text(path, html)
    console.print(f"report, {len(html.encode()) / 1e6:.1f} MB: {path}")


def data_uri(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """An RGB image as a JPEG inside the page."""
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def figure_table(
    runs: Mapping[str, Mapping[str, float]], intervals: Intervals
) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of figures {run: {name: value}} with their intervals, side by side.
    Names are shown with blanks for underlines."""
    first, *others = runs.values()
    header = ["figure", *runs, *(["difference"] if others else [])]
    rows = []
    for name, value in first.items():
        if any(name not in other for other in others):
            continue
        cells = [show_figure(run[name], own.get(name))
                 for run, own in zip(runs.values(), intervals.runs, strict=True)]  # fmt: skip
        if others:
            difference = others[0][name] - value
            cells.append(show_figure(difference, intervals.difference.get(name), "+.3f"))
        rows.append([name.replace("_", " "), *cells])
    return header, rows


def show_figure(value: float, interval: Interval | None, form: str = ".3f") -> str:
    """'0.812 [0.790, 0.833]'."""
    ends = f" [{interval[0]:{form}}, {interval[1]:{form}}]" if interval else ""
    return f"{value:{form}}{ends}"
