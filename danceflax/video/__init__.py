"""Video: files in and out, clips, flow, and the evaluation of dance classifiers."""
