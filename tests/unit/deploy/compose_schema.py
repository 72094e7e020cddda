"""What docker-compose.yml uses of the compose specification. Anything else is a mistake, or belongs here too."""

from tests.unit.deploy.deployment import SECRETS, Json

NAME = {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
DURATION = {"type": "string", "pattern": "^[0-9]+[sm]$"}


def _closed(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _mapped(value: Json) -> Json:
    return {"type": "object", "propertyNames": NAME, "additionalProperties": value}


SERVICE = _closed(
    {
        "image": TEXT,
        "build": _closed(
            {
                "context": TEXT,
                "dockerfile": TEXT,
                "target": TEXT,
                "args": {"type": "object", "additionalProperties": TEXT},
            },
            *("context", "dockerfile", "target"),
        ),
        "pull_policy": {"const": "never"},
        "entrypoint": TEXTS,
        "command": TEXTS,
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            # A number or a boolean would be written by YAML's rules, not by ours.
            "additionalProperties": {"type": ["string", "null"]},
        },
        "secrets": {
            "type": "array",
            "items": {"anyOf": [NAME, _closed({"source": NAME, "target": TEXT}, "source", "target")]},
        },
        "volumes": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"},
                    # Of a directory that make-secrets.sh makes: docker would make an empty one where it is missing.
                    _closed(
                        {
                            "type": {"const": "bind"},
                            "source": {"type": "string", "pattern": f"^{SECRETS}"},
                            "target": {"type": "string", "pattern": "^/run/secrets/"},
                            "read_only": {"const": True},
                            "bind": _closed({"create_host_path": {"const": False}}, "create_host_path"),
                        },
                        *("type", "source", "target", "read_only", "bind"),
                    ),
                ]
            },
        },
        "tmpfs": TEXTS,
        "ports": {
            "type": "array",
            "items": {
                "type": "string",
                "pattern": r"^(127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}):(\d+|\$\{\w+:-\d+\}):\d+$",
            },
        },
        "networks": {
            "anyOf": [
                {"type": "array", "items": NAME, "uniqueItems": True},
                _mapped({"anyOf": [{"type": "null"}, _closed({"aliases": TEXTS})]}),
            ]
        },
        "depends_on": _mapped(
            _closed({"condition": {"enum": ["service_healthy", "service_completed_successfully"]}}, "condition")
        ),
        "healthcheck": _closed(
            {
                "test": TEXTS,
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            *("test", "interval", "timeout", "retries"),
        ),
        "restart": {"enum": ["no", "unless-stopped"]},
        "profiles": {"const": ["by-hand"]},
        "user": {"const": "1000:1000"},
        "logging": _closed({"driver": TEXT, "options": {"type": "object", "additionalProperties": TEXT}}, "driver"),
        "stop_grace_period": DURATION,
        "shm_size": TEXT,
        "init": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "cap_drop": {"const": ["ALL"]},
        "cap_add": TEXTS,
        "security_opt": TEXTS,
    },
    *("image", "networks", "restart", "logging"),
)
SCHEMA = _closed(
    {
        "name": NAME,
        "x-settings": {"type": "object"},
        "x-confined": {"type": "object"},
        "x-logging": {"type": "object"},
        "services": _mapped(SERVICE),
        "volumes": _mapped({"type": "null"}),
        "networks": _mapped({"anyOf": [{"type": "null"}, _closed({"internal": {"type": "boolean"}})]}),
        "secrets": _mapped(_closed({"file": TEXT}, "file")),
    },
    *("name", "services", "volumes", "networks", "secrets"),
)
