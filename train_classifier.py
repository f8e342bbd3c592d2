"""danceflax/scripts/train_classifier.py, run from here; --help says what it does."""

from danceflax.scripts import train_classifier

if __name__ == "__main__":
    train_classifier.run()
