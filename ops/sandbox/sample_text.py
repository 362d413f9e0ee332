"""Sample captions, comments and commenters; the same seed gives the same ones."""

from ops.sandbox.contract import Sandbox

FOLLOWERS = 40
COMMENTS = (
    "love this",
    "where did you get it?",
    "wow, so good",
    "please restock",
    "asking for a friend",
    "best one yet 😍",
    "how much is shipping to Zürich?",
)
CAPTIONS = (
    "New in the shop",
    "Behind the scenes",
    "Made by hand, from 9 to 5",
    "Three days left",
    "Thank you for 10k ☕",
    "Grüezi from the workshop",
)


def commenter(sandbox: Sandbox) -> str:
    """Return the name of a random commenter."""
    return f"fan_{sandbox.rng.randint(1, FOLLOWERS)}"


def comment_text(sandbox: Sandbox) -> str:
    return f"{sandbox.rng.choice(COMMENTS)} ({sandbox.rng.randint(1, 999)})"


def caption(sandbox: Sandbox) -> str:
    return sandbox.rng.choice(CAPTIONS)
