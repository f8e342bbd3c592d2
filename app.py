"""danceflax/scripts/app.py, run from here; --help says what it does."""

from danceflax.scripts import app

if __name__ == "__main__":
    app.run()
