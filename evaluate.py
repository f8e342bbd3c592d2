"""danceflax/scripts/evaluate.py, run from here; --help says what it does."""

from danceflax.scripts import evaluate

if __name__ == "__main__":
    evaluate.run()
