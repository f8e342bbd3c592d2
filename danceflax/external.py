"""Objects of the user's own packages, named in a config as "package.module:name"."""

import importlib
from typing import Any

from danceflax.errors import UserError


def is_external(name: str) -> bool:
    """Whether a name is meant for `load_object`."""
    return ":" in name


def load_object(name: str, where: str) -> Any:
    """The object that "package.module:name" means.

    Args:
      name: as above; the package must be importable.
      where: the config's key, for messages.

    Raises:
      UserError: there is no such module, or nothing of that name in it.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{where}={name!r}: {error}; expected package.module:name that Python can import"
        ) from None
