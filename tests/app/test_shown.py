"""What the page says of who was found."""

import numpy as np
import pytest

from danceflax.app.shown import show_people
from danceflax.people import UNKNOWN
from danceflax.pose.table import tabulate_people
from danceflax.skeleton import COCO18


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([], "Nobody was found"),
        ([UNKNOWN], "who is grey has no number"),
        ([UNKNOWN, 3], "<td>3</td><td>18</td><td>0.50</td><td>2</td><td>0.00 s</td>"),
    ],
)
def test_who_is_there_is_told(ids, said):
    people = np.full((len(ids), 18, 3), 0.5)
    numbers = np.asarray(ids, int)
    table = tabulate_people([people] * 2, [numbers] * 2, [0.0, 0.1], COCO18)
    assert said in show_people(table, "video", COCO18)
