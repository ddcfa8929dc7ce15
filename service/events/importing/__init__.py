"""History in: files of recorded events, whatever their columns are called, into the log in the order of receipt.

A **mapping** says which column means what (presets/ holds those of the usual sources), a **plan** which columns those
are in one file. A **source** is a file read in batches of columns. Its **rows** become events, or **refusals** with a
code and a reason. The **order** of receipt is the files' own where they are in it, else made by a merge on the disk.
The **record** says how far an import came. events/history.py puts these together.
"""
