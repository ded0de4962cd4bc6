"""The exceptions of dermssl: one base, so that a caller can catch everything this package reports."""


class DermsslError(Exception):
    """Something the user can put right: the message names the file or option and says what to do.

    The command line prints it without a traceback and exits with status 1.
    """
