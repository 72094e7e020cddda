"""What the words mean: values, errors, ids, settings. Knows no database; all of ours that `hub/` may import."""
