"""The Hub's refusals and a network that is not there, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from characterflow.core.errors import UserError


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turns what goes wrong between here and the Hub into a UserError that starts with `what`."""
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UserError(f"{what} ({lines[0] if lines else type(error).__name__})") from None
