"""Makes data sets ready to train on; `python prepare_data.py COMMAND --help` shows examples.

The layouts, and what to do first with which data, are in data/README.md.
"""

import sys
from collections.abc import Sequence

from danceflax.cli.commands import run_commands

COMMANDS = {
    "frames": "danceflax.prepare.frames",
    "import-openpose": "danceflax.prepare.import_openpose",
    "keypoints": "danceflax.prepare.keypoints",
    "flow": "danceflax.prepare.flow",
    "index": "danceflax.prepare.index",
    "check": "danceflax.prepare.check",
    "split": "danceflax.prepare.split",
    "export-coco": "danceflax.prepare.export_coco",
    "import-coco": "danceflax.prepare.import_coco",
    "tfds": "danceflax.prepare.tfds",
    "synthetic": "danceflax.prepare.synthetic.dataset",
}


def main(argv: Sequence[str] | None = None) -> int:
    return run_commands(__doc__, COMMANDS, argv)


def run() -> None:
    """Does what the process's arguments say."""
    sys.exit(main())
