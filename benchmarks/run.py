"""Runs the benchmarks that have a peer and writes the table of docs/benchmarks.md.

    python benchmarks/run.py [--rounds 7] [--only bench_flow,bench_data]

Each writes benchmarks/results/NAME.json; the table is made of all that are there, and so of what
earlier runs have left as well: every line says on which day, and how busy the machine was.
"""

import argparse
import json
import sys

from harness import ROOT, run_all

FIGURES = [
    "bench_networks",
    "bench_predict",
    "bench_decode",
    "bench_loader",
    "bench_flow",
    "bench_data",
]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench -->", "<!-- end -->"
HEAD = """| work | danceflax | peer | | times its speed | by CPU | memory | load | day |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def table() -> str:
    """All rows as Markdown."""
    lines, machines = [], {}
    for path in sorted(RESULTS.glob("*.json")):
        record = json.loads(path.read_text())
        machine = record["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        about = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
        machines[f"{about}, {versions}"] = None
        for row in record["rows"]:
            low, middle, high = row["speed"]
            cells = (
                row["work"],
                duration(row["ours_seconds"]),
                row["peer"],
                duration(row["peer_seconds"]),
                f"**{middle:.2f}** ({low:.2f}-{high:.2f})",
                f"{row['cpu'][1]:.2f}",
                f"{row['memory']:.2f}" if row.get("memory") else "",
                f"{machine['load']:.1f}",
                machine["day"],
            )
            lines.append("| " + " | ".join(cells) + " |\n")
    return f"{HEAD}{''.join(lines)}\nMachine: {'; '.join(machines)}.\n"


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="benchmarks, with commas between; else all")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else FIGURES
    failed = run_all(names, arguments.rounds, RESULTS)
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}{END}{after}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
