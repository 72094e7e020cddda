# JupyterHub with its proxy, what is ours in it, and the programs that servers of this machine run.
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM node:24.15.0-trixie-slim AS proxy
WORKDIR /opt/proxy
# The lock file of the embedded stack, less its development sign-in provider.
COPY stack/oidc/package.json stack/oidc/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund && npm uninstall --ignore-scripts --no-audit --no-fund oidc-provider

FROM python:3.11.14-slim-trixie AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --group hub --no-install-project
# The spawners for containers, at the versions that the tests use.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv export --frozen --quiet --only-group test --no-hashes --output-file /tmp/versions.txt \
 && uv pip install --constraints /tmp/versions.txt dockerspawner jupyterhub-kubespawner
COPY hub ./hub
COPY models/__init__.py ./models/
COPY models/domain ./models/domain

FROM python:3.11.14-slim-trixie AS run
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap libseccomp2 libstdc++6 lmod slirp4netns \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 1000 nbhub \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin nbhub \
 && install -d -o nbhub -g nbhub -m 0700 /var/lib/jupyterhub \
 && install -d -o nbhub -g nbhub -m 0750 /data /data/datasets /data/modules /data/notebooks /data/groups
COPY --from=proxy /usr/local/bin/node /usr/local/bin/node
COPY --from=proxy /opt/proxy /opt/proxy
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 1000:1000
EXPOSE 8000
CMD ["python", "-m", "jupyterhub", "-f", "hub/jupyterhub_config.py"]
