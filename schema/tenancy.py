"""The tenant that every install has. Apart from the tables, so that whoever only names it does not load SQLAlchemy."""

DEFAULT_TENANT = "00000000-0000-7000-8000-000000000001"
