"""Which variables are reserved: those on which our start of a server depends, proved on the programs of the start."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyterhub.spawner import Spawner

from hub.program import load_modules
from models.domain.reserved_variables import OTHER_SHELLS, VARIABLE, reserved

LMOD = "/usr/share/lmod/lmod/init/bash"
# What people asked about, with the verdict of docs/decisions/0016.
THEIRS = (
    # Build tools and services, whose names only begin like a reserved one.
    *("LD_RUN_PATH", "LD_SDK_KEY", "PYTHON", "PYTHON_ROOT", "PYTHON_VERSION", "PYTHON3_HOME", "LUA_ROOT", "R_VERSION"),
    # Accounts of other systems, though shells that we do not start take them otherwise.
    *("USERNAME", "USER_ID", "GID", "PASSWORD", "TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "status", "path"),
    # What programs obey that people start: git, editors, other interpreters, downloads.
    *("GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"),
    *("GIT_CONFIG_SYSTEM", "GIT_CONFIG_PARAMETERS", "GIT_SSH", "GIT_ASKPASS", "SSH_ASKPASS"),
    *("EDITOR", "VISUAL", "PAGER", "BROWSER", "TCLLIBPATH", "TCL_LIBRARY", "PERL5LIB", "PERL5OPT", "RUBYOPT"),
    *("JAVA_TOOL_OPTIONS", "NLSPATH", "http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "XDG_CACHE_HOME", "XDG_DATA_DIRS"),
    *("XDG_CONFIG_DIRS", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "CONDA_PREFIX"),
)
OURS = (
    *("PATH", "HOME", "TMPDIR", "MANPATH", "MEM_LIMIT", "LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "OPENSSL_CONF"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "RES_OPTIONS", "BASH_ENV", "ENV", "PS1", "PROMPT_COMMAND"),
    *("MAILPATH", "IFS", "RANDOM", "SECONDS", "UID", "PYTHONPATH", "PYTHONSTARTUP", "PYTHON_COLORS", "IPYTHONDIR"),
    *("JUPYTER_CONFIG_PATH", "JUPYTERHUB_API_TOKEN", "JUPYTERLAB_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"),
    *("NODE_OPTIONS", "R_PROFILE_USER", "R_LIBS", "LUA_PATH", "LUA_INIT_5_3", "LMOD_CMD", "MODULEPATH", "NBHUB_X"),
)


@pytest.mark.parametrize("name", THEIRS)
def test_what_only_peoples_own_programs_obey_is_theirs(name: str) -> None:
    assert not reserved(name)


@pytest.mark.parametrize("name", OURS)
def test_what_the_start_depends_on_is_reserved(name: str) -> None:
    assert reserved(name)


def test_what_python_says_that_it_obeys_is_reserved() -> None:
    said = subprocess.run((sys.executable, "--help-env"), capture_output=True, text=True, timeout=60, check=True)
    names = set(re.findall(r"\bPYTHON[A-Z_0-9]+", said.stdout))
    assert len(names) > 20
    assert [name for name in sorted(names) if not reserved(name)] == []


def test_what_the_loader_names_in_its_own_text_is_reserved() -> None:
    (loader, *_) = Path("/").glob("lib*/ld-linux*.so.*")
    names = {name.decode() for name in re.findall(rb"\bLD_[A-Z_0-9]+\0", loader.read_bytes())}
    names = {name.rstrip("\0") for name in names} - {"LD_NOLOAD"}  # a flag
    assert "LD_PRELOAD" in names
    assert [name for name in sorted(names) if not reserved(name)] == []


def test_what_jupyterhub_sets_is_reserved() -> None:
    names = set(re.findall(r"env\[['\"](\w+)['\"]\]", inspect.getsource(Spawner.get_env)))
    assert "MEM_LIMIT" in names
    assert [name for name in sorted(names) if not reserved(name)] == []


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("SSL_CERT_FILE", "import ssl; print(ssl.get_default_verify_paths().cafile)"),
        ("XDG_DATA_HOME", "import jupyter_core.paths as paths; print(paths.jupyter_data_dir())"),
        ("JUPYTER_CONFIG_PATH", "import jupyter_core.paths as paths; print(paths.jupyter_config_path())"),
    ],
)
def test_what_is_reserved_would_change_how_a_server_starts(tmp_path: Path, name: str, looks: str) -> None:
    """Proves the less obvious ones."""
    place = tmp_path / "theirs"
    place.touch()
    said = [
        subprocess.run(
            (sys.executable, "-c", looks),
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for more in ({}, {name: str(place)})
    ]
    assert reserved(name)
    assert str(place) not in said[0]
    assert str(place) in said[1]


def test_every_other_variable_arrives_as_it_is_and_changes_nothing(tmp_path: Path) -> None:
    """As secrets come: in the environment of the bash that loads the modules, and of what it starts."""
    own = subprocess.run(
        ("bash", "--norc", "-ic", "compgen -v"), capture_output=True, text=True, timeout=60, check=True
    )
    names = {*THEIRS, *OURS, *OTHER_SHELLS, *own.stdout.split(), "COMP_WORDBREAKS", "REPLY", "OPTARG", "OPTERR", "TERM"}
    free = sorted(name for name in names if VARIABLE.fullmatch(name) and not reserved(name))
    ran = tmp_path / "ran"
    value = f"a[$(touch {ran})]+1"
    given = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "MODULEPATH": str(tmp_path), "MANPATH": ":"}
    found = subprocess.run(
        load_modules(
            (sys.executable, "-c", "import os, sys; sys.stdout.buffer.write(open('/proc/self/environ', 'rb').read())"),
            LMOD,
        ),
        env={**given, **dict.fromkeys(free, value)},
        capture_output=True,
        timeout=120,
        check=True,
    )
    arrived = dict(pair.split("=", 1) for pair in os.fsdecode(found.stdout).split("\0")[:-1] if "=" in pair)
    assert {name: arrived.get(name) for name in free} == dict.fromkeys(free, value)
    assert not ran.exists()
