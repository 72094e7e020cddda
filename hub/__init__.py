"""What runs inside and beside JupyterHub. Of ours it imports `models.domain` alone."""
