"""Every command of the pages is one that its script understands; every link leads somewhere."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += [ROOT / name for name in ("configs/README.md", "data/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))

# Reads command lines as scripts do, each in a process of its own, for flags are global; without
# JAX, which no script needs for that.
READER = """
import importlib, json, os, runpy, sys
from danceflax import cli, config_checks
from danceflax.cli import commands
from absl import flags

def read(main, doc):
    cli.parse(sys.argv, main, doc)
    if "config" in flags.FLAGS:
        config_checks.check_config(flags.FLAGS.config)

def read_command(doc, table, argv=None):
    name, *words = sys.argv[1:]
    if name != "--help":
        commands.parse_flags(importlib.import_module(table[name]).run, name, words)

cli.run, commands.run_commands = read, read_command
for words in json.load(sys.stdin):
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        sys.argv = words
        print("command:", *words, file=sys.stderr, flush=True)
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            os._exit(end.code or 0)
        except BaseException as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            os._exit(2)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""


def find_commands(text: str) -> list[list[str]]:
    """The words of each indented `python ...` or `make ...` line, without its comment."""
    text = re.sub(r" *\\\n *", " ", text)
    lines = re.findall(r"^ {4,}(?:\.venv/bin/)?((?:python|make) .*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def read_commands(commands: list[list[str]]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def all_commands():
    return [words for page in PAGES for words in find_commands(page.read_text())]


def test_scripts_understand_every_command():
    scripts = [words[1:] for words in all_commands() if words[0] == "python"]
    assert len(scripts) > 25
    # Pages write ... for a config of the reader's, and show one (small.py) that is not there;
    # docs/sweep.py starts another script.
    own = [w for w in scripts if not re.search(r"=\.\.\.|=small\.py", " ".join(w))]
    own = [w for w in own if w[0] != "docs/sweep.py"]
    result = read_commands(own)
    assert result.returncode == 0, result.stderr[-600:]


@pytest.mark.parametrize(
    "words, message",
    [
        (["predict.py", "--checkpiont=runs/a"], "checkpiont"),
        (["train_openpose.py", "--config=configs/none.py", "--workdir=a"], "no such file"),
        (["train_openpose.py", "--config=configs/openpose_coco.py:none", "--workdir=a"], "none"),
        (
            ["train_openpose.py", "--config=configs/openpose_coco.py", "--workdir=a"]
            + ["--config.stepz=1"],
            "no such field",
        ),
    ],
)
def test_a_wrong_command_is_found(words, message):
    result = read_commands([words])
    assert result.returncode == 1 and message in result.stderr


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in all_commands() if words[0] == "make"} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+:|#", link):
            assert (page.parent / link.split("#")[0]).exists(), link
