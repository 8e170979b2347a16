"""What all errors of this project that no standard exception covers have in common."""


class HephError(Exception):
    """An error whose message says what is wrong and what to do; the `heph` command prints it as a line."""
