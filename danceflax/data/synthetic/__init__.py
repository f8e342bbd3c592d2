"""Synthetic dancers: clips whose classes differ only in motion, in the Let's Dance layout."""

from danceflax.data.synthetic.choreography import DANCES
from danceflax.data.synthetic.dataset import write_dataset
from danceflax.data.synthetic.render import render_clip

__all__ = ["DANCES", "render_clip", "write_dataset"]
