"""danceflax/scripts/convert_weights.py, run from here; --help says what it does."""

from danceflax.scripts import convert_weights

if __name__ == "__main__":
    convert_weights.run()
