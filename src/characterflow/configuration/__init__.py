"""The run's configuration: read, validated, completed with defaults."""
