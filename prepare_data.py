"""danceflax/scripts/prepare_data.py, run from here; --help says what it does."""

from danceflax.scripts import prepare_data

if __name__ == "__main__":
    prepare_data.run()
