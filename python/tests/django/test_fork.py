"""Children of fork while other threads are inside the cache: they have the parent's values, work, and end."""

from __future__ import annotations

import pytest
from conftest import OURS
from processes import Process

TABLE = str(OURS["OPTIONS"]["GENERATIONS"])  # type: ignore[index]

#: Threads in tight loops; 50 children, each of which reads, writes and ends. Prints how many did well.
FORKS = """
import signal

class Gate(Cache):
    "The control: a lock that is held while Python code runs, as Django's locmem has it."
    lock = threading.Lock()

    def get(self, *args, **kwargs):
        with self.lock:
            time.sleep(0)
            return super().get(*args, **kwargs)

options = {"OPTIONS": {"GENERATIONS": sys.argv[1]}}
cache = (Gate if sys.argv[2] == "control" else Cache)("forks", options)
cache.set("inherited", 41)
cache.set("tree", {"a": [1]})
stop = False

def loop():
    number = 0
    while not stop:
        number += 1
        cache.set(f"k{number % 50}", {"n": [number]}, 60, tags=["t"])
        cache.get(f"k{number % 50}")
        cache.add("added", 1)
        cache.get_or_set(f"c{number % 7}", lambda: number, 0.001)
        cache.delete(f"k{(number + 25) % 50}")
        cache.keys("k1*")

threads = [threading.Thread(target=loop, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()

def child():
    signal.alarm(10)
    assert cache.get("tree") == {"a": [1]}
    assert cache.incr("inherited") == 42
    for number in range(20):
        cache.set("own", number)
        assert cache.get("own") == number
        assert cache.get_or_set(f"child {number}", lambda: number) == number
        # Somebody led this one when the process was forked, perhaps: nobody does here.
        cache.get_or_set(f"c{number % 7}", lambda: number)
    cache.clear()
    # From here on an alarm would be a failure of the interpreter, not ours.
    signal.alarm(0)
    os._exit(0)

good = 0
for _ in range(50):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    good += status == 0
    if sys.argv[2] == "control" and status != 0:
        break
    # The child's writes are another process's: what the parent keeps of those keys is refused.
    assert cache.get("inherited") is None
    cache.set("inherited", 41)
    cache.set("tree", {"a": [1]})
print(good, flush=True)
stop = True
"""


@pytest.mark.parametrize("table", [TABLE, ""], ids=["shared", "private"])
def test_children_of_fork_work_and_end(table: str) -> None:
    script = FORKS if table else FORKS.replace('"GENERATIONS": sys.argv[1]', "").replace(
        'assert cache.get("inherited") is None', 'assert cache.get("inherited") == 41'
    )
    if not table:
        script = "from django.test.utils import setup_test_environment\nsetup_test_environment()\n" + script
    with Process(script, table, "ours") as process:
        assert process.line() == "50"


def test_a_lock_held_for_python_code_hangs_a_child() -> None:
    """The control of the test before."""
    with Process(FORKS.replace("signal.alarm(10)", "signal.alarm(2)"), TABLE, "control") as process:
        assert int(process.line()) < 50
