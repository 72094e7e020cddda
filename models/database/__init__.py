"""PostgreSQL: the engine and its pool, transactions, statements, tables and how they are migrated."""
