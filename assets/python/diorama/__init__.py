"""The test driver: runs a Python script against the machines of a session.

A script finds one variable a machine and the names below; everything carries the name, the defaults
and the return values of the NixOS test driver, so that scripts written for it run.

| name | what it is |
|---|---|
| ``NODE`` | a :class:`Machine`; with a single one ``machine`` too |
| ``start_all()``, ``join_all()`` | starts all machines; waits until all are off |
| ``subtest(name)`` | ``with subtest("…"):`` names a part of the test |
| ``retry(fn, timeout=900)`` | calls ``fn(last_try)`` every second until it gives something true |
| ``polling_condition(fn)`` | a condition that has to hold ``with`` it |
| ``network``, ``link(a, b)`` | faults: ``network.partition([a], [b])``, ``link(a, b).cut()``, ``network.heal()`` |
| ``t`` | a ``unittest.TestCase`` for its assertions |
| ``log``, ``debug``, ``driver``, ``machines``, ``vlans``, ``os`` | as named |

Only Python's standard library is used.
"""

from __future__ import annotations

from .driver import Driver
from .errors import (
    CommandFailed,
    DioramaError,
    MachineError,
    Refused,
    RequestedAssertionFailed,
    SessionGone,
    TestScriptError,
    TimeIsUp,
)
from .log import Log
from .machine import Machine
from .network import Link, Network
from .timing import PollingCondition, retry

__all__ = [
    "CommandFailed",
    "DioramaError",
    "Driver",
    "Link",
    "Log",
    "Machine",
    "MachineError",
    "Network",
    "PollingCondition",
    "Refused",
    "RequestedAssertionFailed",
    "SessionGone",
    "TestScriptError",
    "TimeIsUp",
    "retry",
]
