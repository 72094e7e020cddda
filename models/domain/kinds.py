"""The kinds of record whose wish is made true outside."""

SETTLED = {
    "server": "server",
    "dataset": "dataset",
    "module": "module",
    "secret": "secret",
    "group": "user_group",
}
"""The tables of the kinds whose wish is made true outside: generation and observed generation tell whether it is."""
TABLES = {kind: table for kind, table in SETTLED.items() if kind != "server"}
"""The table of each kind; nothing else gets into a statement's text."""
TRASHABLE = ("dataset", "module")
"""The kinds that stay in the trash for a while; others are gone at once."""
