"""The client for `async` programs. That for all others is made of it: `make client` writes `nbhub/synchronous`."""
