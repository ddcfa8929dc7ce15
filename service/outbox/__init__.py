"""What leaves the house: changes written down in the transaction that makes them, and who is in which audience."""
