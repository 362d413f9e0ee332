"""The history of the database. Add first, remove a release later: the previous version is still running."""
