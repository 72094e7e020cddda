"""Environment variables that are not anybody's to set: other programs obey them."""

import re

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""How a variable is named."""
LOCALE_VARIABLE = re.compile(r"LANG|LC_[A-Za-z0-9_]*")
"""Variables that say how bytes are read as characters; by some locales a shell takes a part of a value for code."""

# What loaders, interpreters, shells, Lmod and JupyterHub obey. To change it is to change what other programs do.
_OBEYED = frozenset(
    (
        # The shells: where they look, what they run before a prompt or at their start, and who they run as.
        "PATH",
        "IFS",
        "ENV",
        "CDPATH",
        "FPATH",
        "ZDOTDIR",
        "SHELLOPTS",
        "BASHOPTS",
        "PROMPT_COMMAND",
        "PS0",
        "PS1",
        "PS2",
        "PS3",
        "PS4",
        "PROMPT",
        "RPROMPT",
        "INPUTRC",
        "GLOBIGNORE",
        "EXECIGNORE",
        "HISTFILE",
        "TMOUT",
        "HOME",
        "SHELL",
        "USER",
        "LOGNAME",
        "UID",
        "EUID",
        "PPID",
        "PWD",
        "OLDPWD",
        "TMPDIR",
        # The C library and OpenSSL: what they load and whom they ask.
        "GCONV_PATH",
        "GETCONF_DIR",
        "GLIBC_TUNABLES",
        "HOSTALIASES",
        "LOCALDOMAIN",
        "LOCPATH",
        "NIS_PATH",
        "NLSPATH",
        "RESOLV_HOST_CONF",
        "RES_OPTIONS",
        "TZDIR",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "OPENSSL_ENGINES",
        # Interpreters: options and code that they run at their start.
        "PERLLIB",
        "RUBYOPT",
        "RUBYLIB",
        "NODE_OPTIONS",
        "NODE_PATH",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "IPYTHONDIR",
        "R_PROFILE",
        "R_PROFILE_USER",
        "R_ENVIRON",
        "R_ENVIRON_USER",
        "TCLLIBPATH",
        "TCL_LIBRARY",
        # Modules themselves: where they are, and which are loaded.
        "MODULEPATH",
        "MODULEPATH_ROOT",
        "MODULESHOME",
        "MODULERCFILE",
        "LOADEDMODULES",
        "_LMFILES_",
    )
)
_SHELLS_OWN = frozenset(
    (
        # Numbers to bash or ksh: they reckon what they are given, and run a command in an index, as in `a[$(id)]`.
        "BASHPID",
        "COLUMNS",
        "HISTCMD",
        "KSHEGID",
        "KSHGID",
        "KSHUID",
        "LINENO",
        "LINES",
        "MAILCHECK",
        "OPTIND",
        "PGRP",
        "PIPESTATUS",
        "RANDOM",
        "SECONDS",
        "SRANDOM",
        "USER_ID",
        # What bash, ksh or zsh make themselves or take in a way of their own: another value arrives, or none.
        "_",
        "ARGV0",
        "DIRSTACK",
        "EGID",
        "EPOCHREALTIME",
        "EPOCHSECONDS",
        "ERRNO",
        "FUNCNAME",
        "FUNCNEST",
        "GID",
        "GROUPS",
        "HISTCHARS",
        "HISTFILESIZE",
        "HISTSIZE",
        "JOBMAX",
        "KEYBOARD_HACK",
        "KEYTIMEOUT",
        "KSH_VERSION",
        "LISTMAX",
        "SAVEHIST",
        "SHLVL",
        "TRY_BLOCK_ERROR",
        "TRY_BLOCK_INTERRUPT",
        "TTYIDLE",
        "USERNAME",
        "ZSH_EVAL_CONTEXT",
        "argv",
        "histchars",
        "pipestatus",
        "psvar",
        "status",
        # Other names of PATH and its like in zsh.
        "cdpath",
        "fignore",
        "fpath",
        "mailpath",
        "manpath",
        "module_path",
        "path",
    )
)
"""Variables that shells do not take as they are given."""
_OBEYED_BEGINNINGS = (
    *("BASH_", "LD_", "PYTHON", "PERL5", "LUA_"),
    *("LMOD_", "__LMOD_", "__lmod_", "_ModuleTable"),
    *("JUPYTER_", "JUPYTERHUB_", "NBHUB_"),
)


def obeyed(variable: str) -> bool:
    """Whether loaders, interpreters, shells, Lmod or JupyterHub obey an environment variable, or set it themselves."""
    return variable in _OBEYED or variable in _SHELLS_OWN or variable.startswith(_OBEYED_BEGINNINGS)
