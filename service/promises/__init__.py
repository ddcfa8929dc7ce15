"""Promises that are watched: draws for blind reading, the live check, what happened, shifts, and the load of people."""
