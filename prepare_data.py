"""Makes data sets ready to train on; `python prepare_data.py COMMAND --help` shows examples."""

import argparse
import sys

from danceflax import cli
from danceflax.data.progress import show_progress
from danceflax.data.synthetic import dataset
from danceflax.errors import UserError


def synthetic(args):
    """Renders dancing figures with exact keypoints: a whole Let's Dance root, made up.

    python prepare_data.py synthetic --output=data/synthetic
    python prepare_data.py synthetic --output=data/large --clips=80,10,10 --size=640,360
    """
    clips = dict(zip(("train", "val", "test"), parse_numbers("clips", args.clips, 3), strict=True))
    with show_progress("rendering", "clips") as progress:
        root = dataset.write_dataset(
            args.output,
            seed=args.seed,
            clips_per_dance={split: count for split, count in clips.items() if count},
            frames_per_clip=args.frames,
            fps=args.fps,
            size=parse_numbers("size", args.size, 2),
            max_people=args.people,
            workers=args.workers,
            progress=progress,
        )
    print(f"written to {root}")


def add_synthetic(parser):
    parser.add_argument("--output", required=True, help="the root to make")
    parser.add_argument("--seed", type=int, default=0, help="other seeds, other dancers")
    parser.add_argument("--clips", default="8,1,1", help="clips of each dance: train,val,test")
    parser.add_argument("--frames", type=int, default=32, help="frames a clip")
    parser.add_argument("--fps", type=float, default=12.5, help="frames a second")
    parser.add_argument("--size", default="256,256", help="width,height in pixels")
    parser.add_argument("--people", type=int, default=4, help="most dancers in a picture, 1 to 4")


COMMANDS = ((synthetic, add_synthetic),)


def parse_numbers(name, text, count):
    """'640,360' -> (640, 360): the `count` integers of a flag."""
    words = text.split(",")
    if len(words) != count or not all(word.strip().isdecimal() for word in words):
        raise UserError(f"--{name}={text}: expected {count} integers joined by commas")
    return tuple(int(word) for word in words)


class Parser(argparse.ArgumentParser):
    """Its errors are one line, as those of the other scripts."""

    def error(self, message):
        cli.fail(f"{message}; {self.prog} --help shows how")


def make_parser():
    style = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__, formatter_class=style)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for function, add_arguments in COMMANDS:
        summary, _, rest = function.__doc__.partition("\n")
        lines = [line.strip() for line in rest.strip().splitlines()]
        command = commands.add_parser(
            function.__name__.replace("_", "-"),
            help=summary,
            description="\n".join([summary, "", *lines]),
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
        )
        add_arguments(command)
        command.add_argument("--workers", type=int, help="processes; by default one a CPU core")
        command.set_defaults(function=function)
    return parser


def main(argv=None):
    args = make_parser().parse_args(argv)
    try:
        return args.function(args)
    except UserError as error:
        cli.fail(error)
    except KeyboardInterrupt:
        cli.fail("interrupted; the same command starts again where it can")


if __name__ == "__main__":
    sys.exit(main())
