"""Who may use what: levels, principals and grants, as fragments of the statements that read records."""
