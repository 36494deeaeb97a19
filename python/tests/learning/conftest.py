"""What the tests of this folder share."""

from learning_nodes import (  # noqa: F401
    binary,
    configured,
    new_node,
    node,
    nowhere,
    postgres,
    redis,
    scripted,
)
