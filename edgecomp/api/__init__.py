"""What the command line and a notebook call: one function a command."""
