"""From a folder of videos to a classifier and its figures: the scripts in their order, each done
once."""
