"""What the commands share."""

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
