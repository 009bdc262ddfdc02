"""Values that stand in an address."""

from __future__ import annotations

from collections.abc import Mapping

from attnlab.errors import UserError


def whole_number(params: Mapping[str, str], name: str) -> int:
    """
    Raises:
        UserError: there is none of that name.
    """
    try:
        return int(params[name])
    except KeyError:
        raise UserError(f"the address lacks {name}, a whole number") from None
    except ValueError:
        raise UserError(f"{name}={params[name]} in the address must be a whole number") from None
