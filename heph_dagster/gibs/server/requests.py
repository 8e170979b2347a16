"""What the requests of all protocols have in common: where they go, their parameters, and how they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from urllib.parse import parse_qsl

from starlette.requests import Request

from heph_dagster.gibs.grid import GRIDS
from heph_dagster.gibs.periods import parse_day

_PROJECTIONS = {str(epsg): epsg for epsg in GRIDS}
_ENDPOINTS = frozenset({"best", "std", "nrt", "all"})
_FORMATS = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "image/jpeg": "jpg", "image/png": "png"}


class RefusalError(Exception):
    """A request that is answered with an error: a code and the parameter at fault, as OGC names them, and a text."""

    def __init__(self, code: str, locator: str, text: str) -> None:
        super().__init__(text)
        self.code, self.locator, self.text = code, locator, text


class MissingError(Exception):
    """What the server does not have, though it could."""


def service_of(request: Request) -> tuple[int, str]:
    """Projection and endpoint that a request's path names.

    Raises:
        MissingError: There is no such service.
    """
    epsg, endpoint = request.path_params["epsg"], request.path_params["endpoint"]
    if epsg not in _PROJECTIONS or endpoint not in _ENDPOINTS:
        raise MissingError
    return _PROJECTIONS[epsg], endpoint


def base_url(request: Request) -> str:
    """The server's own address, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def query_of(request: Request) -> dict[str, str]:
    """Key-value pairs; keys are case-insensitive."""
    return {key.lower(): value for key, value in parse_qsl(request.url.query, keep_blank_values=True)}


def required(query: Mapping[str, str], key: str) -> str:
    """The value of a parameter.

    Raises:
        RefusalError: It is missing or empty.
    """
    if not query.get(key):
        raise RefusalError("MissingParameterValue", key.upper(), f"Missing {key.upper()} parameter")
    return query[key]


def operation(query: Mapping[str, str], *known: str) -> str:
    """Which of the known operations is asked for.

    Raises:
        RefusalError: None of them.
    """
    name = required(query, "request").lower()
    if name not in known:
        raise RefusalError("OperationNotSupported", "REQUEST", f"The request {name!r} is not supported")
    return name


def image_format(text: str | None) -> str | None:
    """`jpg` or `png` for the name, suffix or media type of a format, None for others."""
    return _FORMATS.get((text or "").lower())


def requested_day(text: str | None) -> date | None:
    """The day that a time parameter names, None for the newest.

    Raises:
        RefusalError: The text is no day.
    """
    if text is None or text.lower() in {"", "default"}:
        return None
    try:
        return parse_day(text)
    except ValueError:
        raise RefusalError(
            "InvalidParameterValue", "TIME", "Invalid time format, must be YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"
        ) from None
