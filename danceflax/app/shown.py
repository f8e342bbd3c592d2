"""What the page says, as HTML: how far the work is, what was found. Names are shown as text."""

import html
import typing
from collections.abc import Sequence

import pandas as pd

from danceflax.app.jobs import Progress
from danceflax.people import UNKNOWN
from danceflax.pose.draw import person_colours
from danceflax.skeleton import Skeleton

MOST_ROWS = 1000  # of keypoints that a page shows; the file has all
MOST_PEOPLE = 12


def show_progress(progress: Progress) -> str:
    """A line, and a bar where it is known how much there is to do."""
    what, unit, done, total = progress
    share = min(done / total, 1) if total else None
    style = 'class="unknown"' if share is None else f'style="width:{share:.1%}"'
    count = f"{done:,}{f' of {total:,}' if total else ''} {unit}" if unit else ""
    line = f"<span>{html.escape(what)}</span><span>{html.escape(count)}</span>"
    return f'<div class="step">{line}</div><div class="track"><span {style}></span></div>'


def show_note(text: str) -> str:
    """A remark."""
    return f'<div class="note">{html.escape(text)}</div>'


def show_fault(text: str) -> str:
    """What is wrong, and what to do."""
    return f'<div class="fault" role="alert">{html.escape(text)}</div>'


def show_people(table: pd.DataFrame, kind: str, skeleton: Skeleton) -> str:
    """Everyone who was found, as HTML: their colour, when they are seen, how surely.

    Args:
      table: of keypoints, as `tabulate_people` makes it.
      kind: "image" or "video", in which people have colours.
      skeleton: of the people.
    """
    if table.empty:
        return "<p>Nobody was found.</p>"
    table = table[table["person"] != UNKNOWN]
    if table.empty:
        return "<p>Nobody is seen for longer than a moment: who is grey has no number.</p>"
    header = ["person", "joints", "score"]
    header += ["frames", "from", "to"] if kind == "video" else []
    groups = sorted(table.groupby("person"), key=lambda item: -len(item[1]))
    rows = []
    for number, own in groups[:MOST_PEOPLE]:
        frames = own["frame"].nunique()
        cells = [str(number), f"{len(own) / frames:.0f}", f"{own['score'].mean():.2f}"]
        if kind == "video":
            cells += [
                f"{frames:,}",
                *(f"{t:.2f} s" for t in (own["time"].min(), own["time"].max())),
            ]
        rows.append([_swatch(number, skeleton) * (kind == "video"), *cells])
    rest = (
        f"<p>and {len(groups) - MOST_PEOPLE:,} more, seen more shortly; the table has all</p>"
        if len(groups) > MOST_PEOPLE
        else ""
    )
    return _table(["", *header], rows) + rest


def show_answers(answers: dict[str, typing.Any]) -> str:
    """What a classifier says of a video, and of its dancers, as HTML."""
    dancers = [
        [str(item["dancer"]), html.escape(item["top"][0]["label"]), _share(item["top"][0])]
        for item in answers.get("dancers", ())
    ]
    more = _table(["dancer", "dance", "share"], dancers) if dancers else ""
    return "".join(map(_bar, answers["top"])) + more


def first_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows of a table of keypoints, rounded."""
    return table.head(MOST_ROWS).round({"time": 3, "x": 1, "y": 1, "score": 3})


def _share(answer):
    return f"{answer['probability']:.2f}"


def _bar(answer):
    return (
        f'<div class="bar"><span style="width:{answer["probability"]:.1%}"></span>'
        f"<b>{html.escape(answer['label'])}</b><i>{_share(answer)}</i></div>"
    )


def _swatch(number, skeleton):
    red, green, blue = person_colours(skeleton, int(number))[1][0]
    return f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML of cells that are HTML."""
    lines = ["".join(f"<th>{cell}</th>" for cell in header)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
