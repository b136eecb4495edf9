"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """Bad input, told in one line: what was found, what is allowed, what to do.

    The command line prints the message on stderr and exits with code 2.
    """
