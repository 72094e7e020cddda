"""What runs inside and beside JupyterHub. Imports nothing of ours but `models.server_spec` and `models.profiles`."""
