"""What a command ends with: the one table of exit codes."""

PASS = 0
FAIL = 1
USAGE = 2  # the request, a recipe or a file cannot be carried out as it stands
INCONCLUSIVE = 3
INVALID = 4  # evidence does not hold, or a control failed
INTERNAL = 70  # something failed that should not have (sysexits.h, EX_SOFTWARE)
INTERRUPTED = 130  # as a shell says of SIGINT
TERMINATED = 143  # and of SIGTERM
