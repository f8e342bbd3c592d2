"""danceflax/scripts/train_openpose.py, run from here; --help says what it does."""

from danceflax.scripts import train_openpose

if __name__ == "__main__":
    train_openpose.run()
