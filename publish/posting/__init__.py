"""Publishing: posts and their targets, the state machine of each kind of post, and the driver that runs them."""
