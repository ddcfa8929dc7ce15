"""The contract of the data: what a log and its labels must be like before anything is learned from them."""
