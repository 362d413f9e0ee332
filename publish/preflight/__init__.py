"""Whether a post can be published as it stands, before it is accepted: values and pure functions."""
