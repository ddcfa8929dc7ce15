"""Reviews: the queue of waiting feelings, claims and verdicts, and the pages where people give them."""
