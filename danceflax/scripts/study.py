"""From a folder of videos to a classifier and its figures, by one command.

python study.py --videos=my_videos --output=runs/study
python study.py --videos=my_videos --output=runs/study --pose_checkpoint=runs/a
python study.py --videos=my_videos --output=runs/study --i3d_checkpoint=checkpoints/i3d_rgb
python study.py --videos=my_videos --output=runs/study --plan     # only says what it would do

VIDEOS holds a folder for each dance. Frames are cut into OUTPUT/data, people found by the pose
network (the given one, else the first in checkpoints/ or runs/), and the clips split so that no
source is in two splits. Then OUTPUT/sequence gets a classifier of the dancers' keypoints; and, if
an I3D is given or lies in checkpoints/i3d_rgb, OUTPUT/i3d one of the features of the pictures.

With bokeh installed (danceflax[report]) OUTPUT/sequence.html and OUTPUT/i3d.html are their reports.

Each step is a command of the other scripts, printed as you could type it. Given again, the command
passes over what is done and goes on where it was stopped.
"""

import pathlib

from absl import flags

from danceflax import cli
from danceflax.errors import UserError
from danceflax.io.console import console, print_faults, print_table, summarise

FLAGS = flags.FLAGS
flags.DEFINE_string("videos", None, "folder with a folder of videos for each dance")
flags.DEFINE_string("output", None, "folder of the study")
flags.DEFINE_string("pose_checkpoint", "", "pose network; by default the first that is found")
flags.DEFINE_string("i3d_checkpoint", "", "I3D of RGB; by default checkpoints/i3d_rgb, if there")
flags.DEFINE_float("fps", 25.0, "frames a second to keep; 0 keeps all", lower_bound=0)
flags.DEFINE_float("cut", 10.0, "seconds a clip; 0 makes one of each video", lower_bound=0)
flags.DEFINE_integer("short_side", 360, "pixels that larger frames shrink to; 0: none")
flags.DEFINE_integer("steps", 0, "of each training; by default by how much there is", lower_bound=0)
flags.DEFINE_integer("seed", 0, "of the split and the trainings")
flags.DEFINE_integer("workers", None, "processes that cut and check; by default one a core")
flags.DEFINE_bool("plan", False, "say what would be done, how long and how large, and end")
cli.require("videos", "output")

# The scripts of the repository; none where the package alone is installed.
SCRIPTS = pathlib.Path(__file__).parents[2]
SCRIPTS = SCRIPTS if (SCRIPTS / "predict.py").exists() else None


def main(_):
    from danceflax.study.disk import require_space
    from danceflax.study.networks import find_i3d, find_pose_network
    from danceflax.study.plan import Request, plan_steps, require_networks
    from danceflax.study.steps import is_done, run_step, show_command
    from danceflax.study.videos import measure_videos, plan_videos

    output = pathlib.Path(FLAGS.output)
    if output.resolve().is_relative_to(pathlib.Path(FLAGS.videos).resolve()):
        raise UserError(f"--output={output}: lies in {FLAGS.videos}; name a folder apart from it")
    names = ("videos", "fps", "cut", "short_side", "steps", "seed", "workers")
    tasks, others = plan_videos(
        FLAGS.videos, output / "data", FLAGS.fps, FLAGS.short_side, FLAGS.cut
    )
    request = Request(
        output=output,
        pose=find_pose_network(FLAGS.pose_checkpoint),
        i3d=find_i3d(FLAGS.i3d_checkpoint),
        **{name: FLAGS[name].value for name in names},
    )
    require_networks(request)
    print_faults(summarise(others), "passed over")
    amount = measure_videos(tasks)
    steps = plan_steps(request, amount)
    announce(steps, [is_done(step, output) for step in steps], amount)
    require_space(request, amount, tasks)
    for number, step in enumerate(() if FLAGS.plan else steps, 1):
        done = is_done(step, output)
        state = ": done" if done else ""
        console.print(f"\n[{number} of {len(steps)}] {step.about}{state}", style="bold")
        console.print(f"$ {show_command(step, SCRIPTS)}")
        if not done:
            run_step(step, output, SCRIPTS)


def announce(steps, done, amount):
    """Prints what there is, and the steps with about how long they take."""
    from danceflax.study.settings import share_short

    console.print(
        f"{amount.videos:,} videos of {amount.dances} dances, {say_time(amount.seconds)}: "
        f"about {amount.clips:,} clips, {amount.frames:,} frames at {amount.fps:g} a second"
    )
    if short := share_short(amount):
        console.print(f"{short:.0%} of the clips are too short to tell a dance by, and left out")
    rows = [
        (step.name, step.about, "done" if over else say_time(step.seconds))
        for step, over in zip(steps, done, strict=True)
    ]
    print_table("what will be done", ("step", "", "about"), rows)
    left = sum(step.seconds for step, over in zip(steps, done, strict=True) if not over)
    console.print(
        f"about {say_time(left)} in all; frames by a measured rate, the rest guessed for this "
        "machine's CPU"
    )


def say_time(seconds):
    """'40 s', '12 min' or '3.5 h'."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def run() -> None:
    """Does what the process's arguments say."""
    cli.run(main, __doc__)
