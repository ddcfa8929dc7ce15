"""Side by side with peers, on public data that stays where it is. Run from the repository's root: `make bench`."""
