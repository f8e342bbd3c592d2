"""Every command of the pages is one that its script understands; every link leads somewhere."""

import json
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from danceflax.__main__ import COMMANDS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += [ROOT / name for name in ("configs/README.md", "data/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
SCRIPTS = "|".join(sorted(path.name for path in ROOT.glob("*.py")))
# What a page cannot know: a config, a number or the rest of a line that is the reader's; and
# small.py, a file of the reader's that a page shows.
OWN = re.compile(r"\.\.\.|small\.py")

# Reads command lines as scripts do, without JAX, which no script needs for that. A script defines
# its flags once, in a process of its own, for flags are global; each command is read in a copy of
# that process. Of a part of a command, as sentences have it, only the flags' names are looked up.
READER = """
import importlib, inspect, json, os, runpy, sys
from absl import flags
from danceflax import cli, config_checks
from danceflax.cli import commands

def apart(function, *arguments):
    sys.stderr.flush()
    if not (child := os.fork()):
        status = 2
        try:
            function(*arguments)
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(status)
    faults.append(os.waitpid(child, 0)[1])

def look_up(words, names):
    for word in words:
        name = word.removeprefix("--").partition("=")[0].partition(".")[0]
        if word.startswith("--") and not {name, name.removeprefix("no")} & {*names, "help"}:
            raise ValueError(f"--{name} is no flag")

def parse(words, main, doc):
    sys.argv = words
    cli.parse(words, main, doc)
    if "config" in flags.FLAGS:
        config_checks.check_config(flags.FLAGS.config)

def read(main, doc):
    for words, whole in todo:
        print("command:", *words, file=sys.stderr)
        apart(*(parse, words, main, doc) if whole else (look_up, words[1:], flags.FLAGS))

def read_commands(doc, table, argv=None):
    for (_, name, *words), whole in todo:
        print("command:", name, *words, file=sys.stderr)
        if name == "--help":
            continue
        run = importlib.import_module(table[name]).run
        if whole and "--help" not in words:
            apart(commands.parse_flags, run, name, words)
        else:
            apart(look_up, words, inspect.signature(run).parameters)

def start(script):
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
    if any(faults):
        sys.exit(1)

faults = []
cli.run, commands.run_commands = read, read_commands
given = json.load(sys.stdin)
for script in sorted({words[0] for words, _ in given}):
    todo = [(words, whole) for words, whole in given if words[0] == script]
    apart(start, script)
sys.exit(any(faults))
"""


def find_commands(text: str) -> list[tuple[list[str], bool]]:
    """The words of each call of a script, and whether it is a whole one: lines of their own,
    indented or fenced, are; what stands in a sentence, in back quotes, is a part."""
    text = re.sub(r" *\\\n *", " ", text)
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(re.findall(r"^ {4,}(.*)$", text, re.MULTILINE))
    line = re.compile(rf"^ *(?:\$ )?(?:\.venv/bin/)?(?:python )?((?:{SCRIPTS}) .*)$", re.MULTILINE)
    whole = line.findall(f"{indented}\n{fenced}")
    parts = re.findall(rf"`(?:python )?((?:{SCRIPTS})\s[^`]+)`", text)
    return [(shlex.split(w, comments=True), True) for w in whole if not OWN.search(w)] + [
        (part.split(), False) for part in parts if not OWN.search(part)
    ]


def read_commands(commands: list[tuple[list[str], bool]]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_scripts_understand_every_command():
    commands = [found for page in PAGES for found in find_commands(page.read_text())]
    assert sum(whole for _, whole in commands) > 60 and len(commands) > 70
    result = read_commands(commands)
    assert result.returncode == 0, result.stderr[-600:]


def test_commands_of_every_kind_are_found():
    page = """
    $ python evaluate.py --checkpoint=a \\
        --flip     # mirrored too

```sh
predict.py --checkpoint=b --input=c --output=d
```
With `evaluate.py
--report` a page, and `train_openpose.py --config=...` is yours.
"""
    assert find_commands(page) == [
        (["evaluate.py", "--checkpoint=a", "--flip"], True),
        (["predict.py", "--checkpoint=b", "--input=c", "--output=d"], True),
        (["evaluate.py", "--report"], False),
    ]


WRONG = [  # (words, whether they are a whole command, what is said)
    ("predict.py --checkpiont=runs/a", True, "'checkpiont'"),
    ("train_openpose.py --config=configs/none.py --workdir=a", True, "no such file"),
    ("train_openpose.py --config=configs/openpose_coco.py:none --workdir=a", True, "not 'none'"),
    (
        "train_openpose.py --config=configs/openpose_coco.py --workdir=a --config.stepz=1",
        True,
        "--config.stepz: the config has no such field",
    ),
    ("evaluate.py --repport", False, "--repport is no flag"),
    ("prepare_data.py split --percents", False, "--percents is no flag"),
]


def test_wrong_commands_are_found():
    result = read_commands([(words.split(), whole) for words, whole, _ in WRONG])
    said = re.findall(r"^error: (.*)", result.stderr, re.MULTILINE)
    assert result.returncode == 1 and len(said) == len(WRONG)
    assert all(any(message in line for line in said) for _, _, message in WRONG)


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^ {4,}|`)make ([\w-]+)", text, re.MULTILINE))
    assert {"demo", "docs"} <= named <= targets


def test_extras_benchmarks_and_commands_exist():
    text = "\n".join(page.read_text() for page in PAGES)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"danceflax\[([\w,]+)\]", text))
    assert {"app", "onnx"} <= named <= extras["optional-dependencies"].keys()
    benchmarks = set(re.findall(r"\b(?:benchmarks/\w+|bench_\w+)\.py", text))
    folder = ROOT / "benchmarks"
    assert benchmarks and all((folder / pathlib.Path(name).name).exists() for name in benchmarks)
    commands = set(re.findall(r"`danceflax ([\w-]+)", text))
    assert {"predict"} <= commands <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+:|#", link):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_the_site_is_built(tmp_path):
    """Without the API's pages, whose docstrings take their time."""
    mkdocs = pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocs_jupyter")
    subprocess.run(["make", "pages"], cwd=ROOT, check=True, capture_output=True)
    config = (ROOT / "mkdocs.yml").read_text()
    config = re.sub(r"^  - mkdocstrings:\n(?:    .*\n)+", "", config, flags=re.MULTILINE)
    config = config.replace("docs_dir: build/pages", f"docs_dir: {ROOT}/build/pages")
    (tmp_path / "mkdocs.yml").write_text(config.replace("build/site", f"{tmp_path}/site"))
    command = [sys.executable, "-m", mkdocs.__name__, "build", "--strict", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]
    nav = {page for page in re.findall(r": (\S+\.(?:md|ipynb))$", config, re.MULTILINE)}
    assert nav >= {str(page.relative_to(ROOT)) for page in PAGES}
    assert (tmp_path / "site/docs/notebooks/first_picture/index.html").is_file()
