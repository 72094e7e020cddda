"""The command line `nbhub`."""
