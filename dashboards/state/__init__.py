"""One session of a user: the view, kept in the address, and what is loaded for it."""
