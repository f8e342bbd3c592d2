"""A page in the browser: drop an image or a video, or use the camera; see who is where, and dances.

python app.py --checkpoint=runs/a
python app.py --checkpoint=runs/a --checkpoint=runs/rhythm           # people, and their dance
python app.py --checkpoint=runs                                      # all networks of a folder
python app.py --checkpoint=runs/a --host=0.0.0.0                     # for other computers, too

The page is served on this computer, for this computer, and fetches nothing from elsewhere. What is
uploaded and found lies in a temporary folder and goes when the page is closed or the command ends.
"""

from absl import flags

from danceflax import cli
from danceflax.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string(
    "checkpoint", None, "a workdir, converted weights, or a folder of them; several: a,b or twice"
)
flags.DEFINE_string(
    "host", "127.0.0.1", "address to listen at; 0.0.0.0 lets in whoever reaches this computer"
)
flags.DEFINE_integer("port", 7860, "port to listen at; 0: any", lower_bound=0, upper_bound=65535)
flags.DEFINE_float("max_megabytes", 2000, "that an upload may have", lower_bound=0)
flags.DEFINE_float("max_seconds", 900, "that a video may last", lower_bound=0)
flags.DEFINE_integer("batch_size", None, "frames a step; by default one a device", lower_bound=1)
cli.require("checkpoint")


def main(_):
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise UserError('the page needs gradio; run `pip install "danceflax[app]"`') from None
    from danceflax.app.networks import find_networks
    from danceflax.app.serve import serve
    from danceflax.app.uploads import Limits

    places = [place for word in FLAGS.checkpoint for place in word.split(",")]
    limits = Limits(round(FLAGS.max_megabytes * 1e6), FLAGS.max_seconds)
    serve(find_networks(places), limits, FLAGS.host, FLAGS.port, FLAGS.batch_size)


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
