"""What every route obeys: reading requests, writes, validation, errors, policy, pagination, the document."""
