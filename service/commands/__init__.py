"""The command line, a file for each thing that somebody comes with; `service/__main__.py` puts it together."""
