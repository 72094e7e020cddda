"""How fast this core is just now: `python -m tests.bench.pace`. Each line read is answered by `median spread`.

The median is the CPU time, in ns, of a fixed piece of work that was repeated all the while, a tenth of the time; the
spread is how far its quartiles are apart, by the median.
"""

import select
import statistics
import sys
import time


def _work() -> float:
    begun, rest = time.thread_time_ns(), {}
    for number in range(4_000):
        rest[number % 97] = f"{number}"
    return time.thread_time_ns() - begun


def main() -> None:
    """Work until the input ends."""
    times = [_work()]
    while True:
        times.append(_work())
        if select.select([sys.stdin], [], [], 0.005)[0]:
            if not sys.stdin.readline():
                return
            low, middle, high = statistics.quantiles(times, n=4)
            sys.stdout.write(f"{middle} {(high - low) / middle}\n")
            sys.stdout.flush()
            times = [_work()]


if __name__ == "__main__":
    main()
