"""The revision of ``migrations`` that this release needs. Alembic could say it too, at the price of being loaded."""

HEAD = "0031"
