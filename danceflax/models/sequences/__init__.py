"""Networks that eat people over time: keypoint sequences to the logits of dances."""
