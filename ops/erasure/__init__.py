"""Erasure: take a person, or a whole account, out of everything that is kept, and keep them out.

The tables are pure functions of the log, so events are deleted from the log: those that name the person, and the raw
bytes that held them. A rebuild brings the tables in line, and whatever is made from the log later cannot bring the
person back. A platform that repeats a delivery can: so each request is kept, and carried out again each time
`landfall erase --requested` runs, until no platform repeats anything older; then the id is forgotten too.

`requests` records requests, `erasing` carries them out, `matching` decides what names a person, `store` has the SQL.
"""
