"""The checkpoints that the page offers, by kind."""

import pathlib
import typing
from collections.abc import Sequence

from danceflax.errors import UserError
from danceflax.io.listing import count_key, list_folder
from danceflax.training.checkpoints import find_model, read_config


class Networks(typing.NamedTuple):
    """{what the page calls it: path} of pose networks, and of classifiers."""

    pose: dict[str, str]
    dance: dict[str, str]


def find_networks(places: Sequence[str]) -> Networks:
    """The networks at places that a person named: checkpoints, or folders of them.

    Raises:
      UserError: at a place there is none, or none of all finds people or names dances.
    """
    found = Networks({}, {})
    for place in places:
        path = pathlib.Path(place).expanduser()
        paths = [path]
        if not _holds_network(path) and path.is_dir():
            inside = sorted(list_folder(path), key=count_key)
            paths = [path / name for name in inside if _holds_network(path / name)] or paths
        for path in paths:
            _add_network(found, path)
    if not (found.pose or found.dance):
        raise UserError(f"{', '.join(places)}: no network there finds people or names dances")
    return found


def _add_network(found, path):
    config = read_config(find_model(path))
    if "class_names" not in config and "skeleton" not in config:  # VGG-19
        return
    kind = found.dance if "class_names" in config else found.pose
    kind[str(path) if path.name in kind else path.name] = str(path)


def _holds_network(path):
    try:
        find_model(path)
    except UserError:
        return False
    return True
