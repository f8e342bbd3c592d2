"""The page in the browser: an image or a video in, people and dances out, on this computer."""
