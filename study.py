"""danceflax/scripts/study.py, run from here; --help says what it does."""

from danceflax.scripts import study

if __name__ == "__main__":
    study.run()
