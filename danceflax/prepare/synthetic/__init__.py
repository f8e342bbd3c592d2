"""Synthetic dancers: clips whose classes differ only in motion, in the Let's Dance layout."""

from danceflax.prepare.synthetic.choreography import DANCES
from danceflax.prepare.synthetic.dataset import write_dataset
from danceflax.prepare.synthetic.render import render_clip

__all__ = ["DANCES", "render_clip", "write_dataset"]
