"""The files of deploy/, with their variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?+])([^}]*))?\}")


@cache
def read(name: str) -> Any:
    """A YAML file of deploy/."""
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """A text of compose.yaml with its `${...}` replaced, as compose does it.

    Raises:
        KeyError: A variable that must be set is not.
    """

    def value(match: re.Match[str]) -> str:
        name, operator, other = match.groups()
        found = variables.get(name, "")
        if operator == "+":
            return str(other) if found else ""
        if operator == "-":
            return found or str(other)
        if not found:
            raise KeyError(name)
        return found

    return _VARIABLE.sub(value, text)
