"""Pictures in rows and columns."""

import numpy as np

from danceflax.pose.panels import training_panel
from danceflax.skeleton import BODY25


def test_panel_has_a_row_a_sample_and_six_columns():
    y, x = np.mgrid[:48, :64]
    images = np.stack([np.stack([3 * x, y + x, np.full_like(x, n)], -1) for n in (9, 200)])
    images = images.astype(np.uint8)
    maps = (np.zeros((2, 6, 8, 26)), np.zeros((2, 6, 8, 52)))
    people = np.full((2, 1, BODY25.num_joints, 3), (30.0, 20.0, 1.0))
    panel = training_panel(images, maps, maps, people, BODY25)
    height, width, zoom = 48, 64, 4  # small pictures are enlarged to at least 200 pixels
    assert panel.shape == (26 + 2 * (height * zoom + 6), 6 + 6 * (width * zoom + 6), 3)
    top, left = 26 + height * zoom + 6, 6  # the second sample's input
    cell = panel[top : top + height * zoom, left : left + width * zoom]
    average = cell.reshape(height, zoom, width, zoom, 3).mean((1, 3))
    assert np.abs(average - images[1]).max() < 2
    titles = panel[:26]
    assert all((titles[:, 6 + c * 262 : 262 + c * 262] < 128).any() for c in range(6))
