//! Integration tests: the binary and the router.
