"""danceflax/scripts/predict.py, run from here; --help says what it does."""

from danceflax.scripts import predict

if __name__ == "__main__":
    predict.run()
