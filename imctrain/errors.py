"""The one exception that a user's mistake raises, and the one warning."""

LONGEST = 4000
"""Characters of a message: what a screen holds."""


class UserError(Exception):
    """Bad input, told in one line: what was found, what is allowed, what to do.

    The command line prints the message on stderr and exits with code 2. What was found may hold anything: the message
    stays a line, of at most `LONGEST` characters.
    """

    def __init__(self, message: object = ""):
        text = str(message)
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}")


class HardwareWarning(UserWarning):
    """The hardware lets nothing through at some site: one line that names the site and what to do.

    What was computed is what that hardware gives; it is no use for training.
    """


class DamageWarning(UserWarning):
    """Something on disk was left out because it cannot be read; one line that names it."""


MOST_SHOWN = 120


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """What was found, in one line of at most `most` characters; a text as it is, anything else as Python writes it."""
    try:
        text = str(value) if isinstance(value, str | Exception) else repr(value)
    except (ValueError, RecursionError):
        # Python writes no integer of thousands of digits.
        return f"a value too large to show ({type(value).__name__})"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def quoted(value: object) -> str:
    """`shown`, with a text in quotes."""
    return shown(repr(value) if isinstance(value, str) else value)
