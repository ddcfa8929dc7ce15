"""Jobs: work that takes long, done in small parts, kept in the database and in files, and gone on with when cut off."""
