"""How long the log is kept: the partitions that it stands in, and the policies by which it is dropped.

`store` has all SQL, `partitions` makes those of the months to come, `procedure` plans and drops.
"""
