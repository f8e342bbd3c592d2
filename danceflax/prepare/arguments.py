"""The flags of prepare_data.py: each is defined once, and commands name those that they take."""

import argparse
import functools
import textwrap

from danceflax.errors import UserError

FLAGS = {
    "root": dict(help="the data root: the folder of frames/, keypoints/ and so on"),
    "output": dict(help="what to write: check: a CSV of all faults; others: the folder"),
    "videos": dict(help="a video, a folder of videos, or one with a folder for each dance"),
    "frames": dict(help="import-openpose: folder of the images; synthetic: frames a clip"),
    "json": dict(help="folder of the JSON files that OpenPose wrote"),
    "dance": dict(help="the dance, where folders do not say"),
    "fps": dict(type=float, default=0.0, help="frames a second to keep or make; 0 keeps all"),
    "short_side": dict(type=int, default=0, help="pixels that larger frames shrink to; 0: none"),
    "quality": dict(type=int, default=95, help="of the JPEGs, 1 to 100"),
    "checkpoint": dict(help="a workdir, a step in it, or converted weights"),
    "batch_size": dict(type=int, default=8, help="frames a step, over all devices"),
    "method": dict(default="dis", help="dis, farneback or tvl1"),
    "max_bad_fraction": dict(type=float, default=0.01, help="as config.data.max_bad_fraction"),
    "lists": dict(nargs="+", help="share out the clips of these split files"),
    "report": dict(nargs="+", help="only say what these split files share"),
    "percent": dict(default="80,10,10", help="of train, val and test"),
    "groups": dict(
        nargs=2,
        metavar=("CSV", "COLUMN"),
        help="a CSV with a column clip, and the column of what no two splits may share",
    ),
    "seed": dict(type=int, default=0, help="another seed, another result as good"),
    "set": dict(default="pose_frames", help="pose_frames or video_clips"),
    "clips": dict(default="8,1,1", help="clips of each dance in train, val and test"),
    "size": dict(default="256,256", help="width,height in pixels"),
    "people": dict(type=int, default=4, help="most dancers in a picture, 1 to 4"),
    "workers": dict(type=int, help="processes; by default one a core"),
}


def parse_numbers(name, text, count):
    """'640,360' -> (640, 360): the `count` integers of a flag."""
    words = text.split(",")
    if len(words) != count or not all(word.strip().isdecimal() for word in words):
        raise UserError(f"--{name}={text}: expected {count} integers joined by commas")
    return tuple(int(word) for word in words)


class Parser(argparse.ArgumentParser):
    """Its errors are one line, as those of the other scripts."""

    def error(self, message):
        self.exit(2, f"error: {message}; {self.prog} --help shows how\n")


def make_parser(doc, commands):
    """An argument parser with a command a function.

    Args:
      doc: what --help says.
      commands: {function: flags}, the names of FLAGS joined by blanks; ! after a name: it must be
        given; =value: this command's default. The function's docstring is the command's help.
    """
    style = functools.partial(argparse.RawDescriptionHelpFormatter, width=100)
    parser = Parser(description=doc, formatter_class=style)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for function, names in commands.items():
        summary, text = function.__doc__.split("\n", 1)
        text = f"{summary}\n{textwrap.dedent(text)}"
        name = function.__name__.replace("_", "-")
        command = subparsers.add_parser(name, help=summary, description=text, formatter_class=style)
        for word in names.split():
            name, _, default = word.rstrip("!").partition("=")
            options = FLAGS[name] | {"required": word.endswith("!")}
            if default:
                number = float if "." in default else int
                options |= {"type": number, "default": number(default)}
            command.add_argument(f"--{name}", **options)
        command.set_defaults(function=function)
    return parser
