"""The filter of system calls that every sandbox gets: the container engines' own default profile, compiled.

The profile is `seccomp-profile.json`, as github.com/moby/profiles has it, unchanged. It is read as the engines read it
for a container without any capability, with two differences: programs may not look into or trace each other, because
here that would reach the sandbox's own first process; and programs of the machine's other architectures are refused.
"""

import errno
import functools
import json
import platform
import struct
import tempfile
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).with_name("seccomp-profile.json")
_REFUSED_TOO = {"ptrace", "process_vm_readv", "process_vm_writev"}
# The kernel's names of architectures, and the profile's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "riscv64": "riscv64", "s390x": "s390x"}
_RETURN_ERROR = 0x00050000
# Instructions of the kernel's filter language (linux/filter.h): load a word of what is judged, jump, return.
_LOAD, _JUMP_IF_GREATER, _RETURN = 0x20, 0x25, 0x06


class FilterMissing(Exception):
    """No filter can be made on this machine; the message says what to do."""


@functools.cache
def compiled_filter() -> bytes:
    """Return the filter as `bwrap --seccomp` reads it. Raises `FilterMissing`."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as problem:
        raise FilterMissing(f"{problem}: install libseccomp (Debian's package libseccomp2)") from None
    profile = json.loads(PROFILE.read_text())
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(profile["defaultErrnoRet"]))
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ERRNO(errno.ENOSYS))
    newest = 0
    for entry in profile["syscalls"]:
        if not _applies(entry):
            continue
        allowed = entry["action"] == "SCMP_ACT_ALLOW"
        action = pyseccomp.ALLOW if allowed else pyseccomp.ERRNO(entry["errnoRet"])
        arguments = [_condition(pyseccomp, argument) for argument in entry.get("args") or []]
        for name in entry["names"]:
            number = _number(pyseccomp, name)
            if number is None or name in _REFUSED_TOO:
                continue
            newest = max(newest, number)
            rules.add_rule(action, number, *arguments)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return _newer_are_unknown(newest) + file.read()


def _applies(entry: dict[str, Any]) -> bool:
    """Whether a rule of the profile is for programs without capabilities on this machine's architecture and kernel."""
    machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    return (
        not includes.get("caps")
        and machine in includes.get("arches", [machine])
        and machine not in excludes.get("arches", [])
        and _kernel(includes.get("minKernel", "0.0")) <= _kernel(platform.release())
    )


def _kernel(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _number(pyseccomp: Any, name: str) -> int | None:
    """Return the number of a system call here, or nothing where the library or the architecture has none."""
    number: int = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    return number if number >= 0 else None


def _condition(pyseccomp: Any, argument: dict[str, Any]) -> Any:
    operator = getattr(pyseccomp, argument["op"].removeprefix("SCMP_CMP_"))
    return pyseccomp.Arg(argument["index"], operator, argument["value"], argument.get("valueTwo", 0))


def _newer_are_unknown(newest: int) -> bytes:
    """Return instructions before the filter: what is newer than all that the profile allows is as if it were not there.

    So a C library falls back to what there was before, as the engines' own runtimes have it.
    """
    instructions = ((_LOAD, 0, 0, 0), (_JUMP_IF_GREATER, 0, 1, newest), (_RETURN, 0, 0, _RETURN_ERROR | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
