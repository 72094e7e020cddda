"""What a hostile person tries from a kernel against the evidence that the server lives, and against other people's."""

import platform
from pathlib import Path

from hub import processes
from models.domain.server_spec import ServerSpec
from stack.notebook import Notebook
from tests.integration.hub.harness import OTHER, HubUnderTest, until

# System calls by number, as nothing of the C library has most of them.
NUMBERS = {
    "x86_64": {
        "ptrace": 101, "add_key": 248, "request_key": 249, "keyctl": 250, "process_vm_readv": 310, "bpf": 321,
        "kexec_load": 246, "userfaultfd": 323, "unshare": 272, "io_uring_setup": 425, "pidfd_open": 434,
        "pidfd_getfd": 438, "mount": 165, "getpid": 39,
    },
    "aarch64": {
        "ptrace": 117, "add_key": 217, "request_key": 218, "keyctl": 219, "process_vm_readv": 270, "bpf": 280,
        "kexec_load": 104, "userfaultfd": 282, "unshare": 97, "io_uring_setup": 425, "pidfd_open": 434,
        "pidfd_getfd": 438, "mount": 40, "getpid": 172,
    },
}[platform.machine()]  # fmt: skip
CALL = f"""
import ctypes, errno, os, signal, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
numbers = {NUMBERS!r}
def call(name, *arguments):
    result = libc.syscall(numbers[name], *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""
# Lets go of every lock that any process of the sandbox holds, and leaves nothing behind that leads to the server:
# what its monitor might have been looking at is closed, and what goes on belongs to nobody.
LET_GO = """
import fcntl
for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
    handle = call("pidfd_open", pid, 0)
    for number in range(3, 64):
        taken = call("pidfd_getfd", handle, number, 0)
        if isinstance(taken, int):
            try:
                fcntl.flock(taken, fcntl.LOCK_UN)
                print("let go of", number, "in", pid)
            except OSError:
                pass
for number in range(3, 64):
    try:
        fcntl.flock(number, fcntl.LOCK_UN)
    except OSError:
        pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 4096)
        program = os.memfd_create("survivor", 0)
        os.write(program, open("/bin/sh", "rb").read())
        loop = "while :; do date +%s%N > /home/jovyan/survivor; sleep 0.05; done"
        os.execve(program, ["survivor", "-c", loop], {"PATH": "/usr/bin:/bin"})
    os._exit(0)
os.wait()
print("survivor left behind")
"""


async def test_a_server_cannot_let_go_of_what_proves_it_alive(
    hub: HubUnderTest, spec: ServerSpec, kernel: Notebook, home: Path
) -> None:
    said = await kernel.run(CALL + LET_GO)
    assert "let go of" not in said
    assert "survivor left behind" in said
    survivor = home / "survivor"
    until(lambda: survivor.exists() and survivor.read_text(), 10, "the survivor writes")
    (process,) = hub.processes(spec)
    assert process["alive"]
    assert hub.model(spec)["ready"]
    # The notebook is none the worse.
    assert (await kernel.run("print(6 * 7)")).strip() == "42"
    hub.end(spec)
    # It does not write any more, whatever was left of it.
    survivor.write_text("nobody")
    assert_nothing_of_a_sandbox_is_left(process["pid"])
    assert survivor.read_text() == "nobody"


async def test_an_end_is_an_end_under_a_storm_of_processes(
    hub: HubUnderTest, spec: ServerSpec, kernel: Notebook
) -> None:
    """Processes that make processes, in sessions of their own, and do not listen when they are asked to end."""
    storm = """
script = '''
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
os.setsid()
end = time.monotonic() + 300
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            os.setsid()
        elif os.fork():
            os._exit(0)
    except OSError:
        pass
    time.sleep(0.05)
'''
for _ in range(20):
    subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
print("storm")
"""
    assert "storm" in await kernel.run(CALL + storm)
    (process,) = hub.processes(spec)
    hub.end(spec)
    assert_nothing_of_a_sandbox_is_left(process["pid"])


async def test_what_reaches_into_other_processes_or_the_kernel_is_refused(kernel: Notebook) -> None:
    tried = {
        "ptrace": "call('ptrace', 16, 1, 0, 0)",
        "process_vm_readv": "call('process_vm_readv', 1, 0, 0, 0, 0, 0)",
        "pidfd_getfd": "call('pidfd_getfd', call('pidfd_open', 1, 0), 0, 0)",
        "add_key": "call('add_key', b'user', b'mine', b'value', 5, -3)",
        "request_key": "call('request_key', b'user', b'mine', None, -3)",
        "keyctl": "call('keyctl', 0, -3, 0)",
        "userfaultfd": "call('userfaultfd', 0)",
        "io_uring_setup": "call('io_uring_setup', 1, 0)",
        "bpf": "call('bpf', 0, 0, 0)",
        "kexec_load": "call('kexec_load', 0, 0, 0, 0)",
        "unshare": "call('unshare', 0x10000000)",
        "mount": "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
    }
    said = await kernel.run(CALL + "".join(f"print({name!r}, {code})\n" for name, code in tried.items()))
    assert dict(line.split() for line in said.splitlines()) == dict.fromkeys(tried, "EPERM")
    assert "Seccomp:\t2" in await kernel.run("print(open('/proc/self/status').read())")


async def test_what_programs_need_is_let_through(kernel: Notebook) -> None:
    """The twin: threads, processes, sockets, shared memory, and what a newer C library asks for and can do without."""
    code = """
import ctypes, multiprocessing.shared_memory, socket, sqlite3, ssl, subprocess, tempfile, threading
thread = threading.Thread(target=print, args=("a thread",))
thread.start()
thread.join()
print(subprocess.run(["sh", "-c", "echo a program | cat"], capture_output=True, text=True).stdout.strip())
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    print("a socket")
shared = multiprocessing.shared_memory.SharedMemory(create=True, size=10)
shared.close()
shared.unlink()
print("shared memory", sqlite3.connect(":memory:").execute("select 1").fetchone()[0])
libc = ctypes.CDLL(None, use_errno=True)
# A number that no kernel knows yet: not forbidden, but absent.
print(libc.syscall(1999), ctypes.get_errno() == __import__("errno").ENOSYS)
"""
    assert (await kernel.run(code)).splitlines() == [
        "a thread", "a program", "a socket", "shared memory 1", "-1 True",
    ]  # fmt: skip


async def test_no_key_of_one_person_is_another_persons(hub: HubUnderTest, kernel: Notebook) -> None:
    """Whoever holds a key in the kernel's keyrings, as a file system's or a web program's: each sandbox has its own."""
    other = hub.spec(hub_user=OTHER, hardware="cpuSmall")
    hub.spawn(other)
    try:
        async with hub.notebook(other) as theirs:
            await kernel.run(CALL + "print(call('add_key', b'user', b'of-alice', b'a value', 7, -3))")
            for where in (-3, -4, -5):
                asked = f"print(call('keyctl', 10, {where}, b'user', b'of-alice', 0))"
                assert (await theirs.run(CALL + asked)).strip() == "EPERM"
            assert "of-alice" not in await theirs.run("print(open('/proc/keys').read())")
    finally:
        hub.end(other)


async def test_nothing_of_the_hubs_is_open_inside(kernel: Notebook) -> None:
    code = """
import os
for pid in (name for name in os.listdir("/proc") if name.isdigit()):
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        continue  # of what nobody may read
    for number in numbers:
        try:
            print(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            pass
"""
    places = {line for line in (await kernel.run(code)).splitlines() if line.startswith("/")}
    allowed = ("/dev/", "/home/jovyan/", "/tmp/", "/usr/", "/memfd:", "/proc/")
    assert places
    assert [place for place in places if not place.startswith(allowed)] == []


def assert_nothing_of_a_sandbox_is_left(monitor: int) -> None:
    assert processes.identify(monitor) is None
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        assert not line.startswith(b"survivor\0")
