"""The client for programs without `async`, made of `nbhub/asynchronous` by `make client`."""
