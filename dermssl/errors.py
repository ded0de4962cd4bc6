"""The exceptions of dermssl: one base, so that a caller can catch everything this package reports."""


class DermsslError(Exception):
    """Something the user can put right: the message names the file or option and says what to do.

    The command line prints it without a traceback and exits with ``exit_status``.
    """

    exit_status = 1


class SaidElsewhere(DermsslError):
    """Another process of the same job has the error and reports it; the command line only exits with status 1."""
