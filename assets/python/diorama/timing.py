"""Durations, retrying, and conditions that are looked at again and again.

Invariant: nothing here knows of machines; what is retried decides for itself.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Callable, List, Optional, Union

from .errors import RequestedAssertionFailed
from .log import Log

#: A time: a number counts seconds.
Duration = Union[timedelta, int, float]

#: What the NixOS test driver waits by default: 15 minutes.
DEFAULT_TIMEOUT = timedelta(minutes=15)


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def retry(
    fn: Callable[[bool], Any],
    timeout: Duration = 900,
    pause: Optional[Callable[[float], None]] = None,
) -> None:
    """Calls ``fn(last_try)`` every second until it gives something true.

    After ``timeout`` there is one last try, with ``last_try`` true; when that gives nothing true
    either, the test fails.
    """
    limit, begin = seconds(timeout), time.monotonic()
    while time.monotonic() - begin < limit:
        if fn(False):
            return
        (pause or time.sleep)(min(1.0, max(0.0, limit - (time.monotonic() - begin))))
    if not fn(True):
        elapsed = time.monotonic() - begin
        raise RequestedAssertionFailed(f"action timed out after {elapsed:.2f} seconds (timeout={limit:g})")


class PollingCondition:
    """A condition that has to hold as long as it is entered (``with condition:``).

    While it is entered, every command and every retry looks at it, at most every
    ``seconds_interval`` seconds; when it does not hold, the test fails there. ``wait()`` waits
    until it holds.
    """

    def __init__(
        self,
        condition: Callable[[], Optional[bool]],
        log: Log,
        active: List[PollingCondition],
        seconds_interval: float = 2.0,
        description: Optional[str] = None,
    ) -> None:
        self.condition = condition
        self.seconds_interval = seconds_interval
        self.description = description or (condition.__doc__ or "").strip() or condition.__name__
        self._log = log
        self._active = active
        self._last: Optional[float] = None
        self._looking = False

    @property
    def entered(self) -> bool:
        """Whether the script is inside its ``with``."""
        return self in self._active

    def check(self, force: bool = False) -> bool:
        """Looks at the condition when it is due; fails the test when it does not hold."""
        due = self._last is None or time.monotonic() - self._last >= self.seconds_interval
        # What the condition itself runs must not look at it again.
        if self._looking or not (due or force):
            return True
        if not self._holds():
            raise RequestedAssertionFailed(f"polling condition failed: {self.description}")
        return True

    def wait(self, timeout: Duration = 900) -> None:
        """Waits until the condition holds."""
        with self._log.nested(f"waiting for {self.description}"):
            retry(lambda _last: self._holds(), timeout)

    def _holds(self) -> bool:
        self._looking = True
        try:
            result = self.condition()
        except Exception as e:  # noqa: BLE001 - a condition that fails does not hold
            self._log.warning(f"{self.description}: {e}")
            result = False
        finally:
            self._looking = False
            self._last = time.monotonic()
        # A condition that gives nothing holds as long as it raises nothing.
        return result is None or bool(result)

    def __enter__(self) -> None:
        self._active.append(self)

    def __exit__(self, *_exc: object) -> None:
        self._active.remove(self)
