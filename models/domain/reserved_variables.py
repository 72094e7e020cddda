"""Environment variables that are not for people's secrets and modules to set, by one principle.

Reserved is what our own start of a server depends on, from the sandbox to the moment at which people's code runs: what
the spawner and the hand-over set, and what the programs of the start obey by themselves: the loader and the C library,
bash, Lmod, and the programs of the applications (Python, Jupyter, Node, R). What only programs obey that people start
themselves is theirs. docs/decisions/0016 has the verdicts.
"""

import re

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""How a variable is named."""
LOCALE_VARIABLE = re.compile(r"LANG|LC_[A-Za-z0-9_]*")
"""Variables that say how bytes are read as characters; by some locales a shell takes a part of a value for code."""

_SET_BY_US = frozenset(
    (
        # The sandbox and the hand-over.
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "PWD", "OLDPWD", "MANPATH"),
        # JupyterHub.
        *("MEM_LIMIT", "MEM_GUARANTEE", "CPU_LIMIT", "CPU_GUARANTEE", "JPY_API_TOKEN"),
    )
)
_LOADER = frozenset(
    (
        # glibc's ld.so; LD_RUN_PATH is the linker's, and that is no part of a start.
        *("LD_ASSUME_KERNEL", "LD_AUDIT", "LD_BIND_NOT", "LD_BIND_NOW", "LD_DEBUG", "LD_DEBUG_OUTPUT"),
        *("LD_DYNAMIC_WEAK", "LD_HWCAP_MASK", "LD_LIBRARY_PATH", "LD_LIBRARY_VERSION", "LD_NOWARN", "LD_ORIGIN_PATH"),
        *("LD_POINTER_GUARD", "LD_PREFER_MAP_32BIT_EXEC", "LD_PRELOAD", "LD_PROFILE", "LD_PROFILE_OUTPUT"),
        *("LD_SHOW_AUXV", "LD_TRACE_LOADED_OBJECTS", "LD_TRACE_PRELINKING", "LD_USE_LOAD_BIAS", "LD_VERBOSE"),
        *("LD_WARN", "GLIBC_TUNABLES"),
        # The C library: what it loads, whom it asks for the hub's address, which time it is.
        *("GCONV_PATH", "LOCPATH", "HOSTALIASES", "LOCALDOMAIN", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"),
        # OpenSSL: what it loads, whom it trusts to be the hub, where it writes the keys of that conversation.
        *("OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "SSL_CERT_DIR", "SSL_CERT_FILE", "SSLKEYLOGFILE"),
    )
)
_BASH = frozenset(
    (
        # Where it looks, what it runs at its start, before a prompt or for a line, and how it reads our scripts.
        *("BASHOPTS", "CDPATH", "ENV", "EXECIGNORE", "GLOBIGNORE", "HISTFILE", "IFS", "INPUTRC", "MAILPATH"),
        *("POSIXLY_CORRECT", "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS3", "PS4", "SHELLOPTS", "TMOUT"),
        # Numbers to it: it reckons what it is given, and runs a command in an index, as in `a[$(id)]`.
        *("BASHPID", "COLUMNS", "EUID", "HISTCMD", "LINENO", "LINES", "MAILCHECK", "OPTIND", "PIPESTATUS", "PPID"),
        *("RANDOM", "SECONDS", "SRANDOM", "UID"),
        # What it makes itself or takes in a way of its own: another value arrives, or none.
        *(
            "_",
            "BASH",
            "COMP_WORDBREAKS",
            "DIRSTACK",
            "OPTERR",
            "EPOCHREALTIME",
            "EPOCHSECONDS",
            "FUNCNAME",
            "FUNCNEST",
        ),
        *("GROUPS", "HISTFILESIZE", "HISTSIZE", "SHLVL", "histchars"),
    )
)
_APPLICATIONS = frozenset(
    (
        # Jupyter and IPython. It looks for its kernels beneath XDG_DATA_HOME, code-server for its settings in both.
        *("IPYTHONDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
        *("CODE_SERVER_CONFIG", "NODE_OPTIONS", "NODE_PATH"),
        *("R_DEFAULT_PACKAGES", "R_ENVIRON", "R_ENVIRON_USER", "R_HOME", "R_LIBS", "R_LIBS_SITE", "R_LIBS_USER"),
        *("R_PROFILE", "R_PROFILE_USER"),
    )
)
_LMOD = frozenset(
    # FPATH is set by its start-up file.
    ("FPATH", "LOADEDMODULES", "MODULEPATH", "MODULEPATH_ROOT", "MODULERCFILE", "MODULESHOME", "_LMFILES_")
)
_RESERVED = _SET_BY_US | _LOADER | _BASH | _APPLICATIONS | _LMOD
_RESERVED_FORMS = re.compile(
    # CPython's own have no underscore but for the later ones; PYTHON_ROOT and the like are people's.
    r"PYTHON[A-Z]+|PYTHONUTF8|PYTHON_(BASIC_REPL|COLORS|CONTEXT_AWARE_WARNINGS|CPU_COUNT|DISABLE_REMOTE_DEBUG|FROZEN_MODULES|GIL"
    r"|HISTORY|JIT|LAZY_IMPORTS|PERF_JIT_SUPPORT|PRESITE|STDLIB_DIR|THREAD_INHERIT_CONTEXT|TLBC|UOPS)"
    # Lua, in which Lmod is written, has each for a version too.
    r"|LUA_(PATH|CPATH|INIT)(_[0-9]_[0-9])?"
    r"|(BASH_|LMOD_|__LMOD_|__lmod_|_ModuleTable|JUPYTER_|JUPYTERHUB_|JUPYTERLAB_|NBHUB_)[A-Za-z0-9_]*"
)

OTHER_SHELLS = frozenset(
    (
        # Numbers to ksh: it reckons what it is given, and runs a command in an index.
        *("KSHEGID", "KSHGID", "KSHUID", "PGRP", "USER_ID"),
        # What ksh or zsh make themselves or take in a way of their own.
        *("ARGV0", "EGID", "ERRNO", "GID", "HISTCHARS", "JOBMAX", "KEYBOARD_HACK", "KEYTIMEOUT"),
        *("KSH_VERSION", "LISTMAX", "PROMPT", "RPROMPT", "SAVEHIST", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT"),
        *("TTYIDLE", "USERNAME", "ZDOTDIR", "ZSH_EVAL_CONTEXT", "argv", "pipestatus", "psvar", "status"),
        # Other names of PATH and its like in zsh.
        *("cdpath", "fignore", "fpath", "mailpath", "manpath", "module_path", "path"),
    )
)
"""What shells that people may use besides bash do not take as it is given, when Lmod's text is evaluated there."""


def reserved(variable: str) -> bool:
    """Whether our start of a server depends on an environment variable."""
    return variable in _RESERVED or _RESERVED_FORMS.fullmatch(variable) is not None
