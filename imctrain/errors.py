"""The one exception that a user's mistake raises, and the one warning."""


class UserError(Exception):
    """Bad input, told in one line: what was found, what is allowed, what to do.

    The command line prints the message on stderr and exits with code 2.
    """


class HardwareWarning(UserWarning):
    """The hardware lets nothing through at some site: one line that names the site and what to do.

    What was computed is what that hardware gives; it is no use for training.
    """
