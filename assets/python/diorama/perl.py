"""The names of the Perl test driver of 2010, as aliases.

| then | now |
|---|---|
| ``startAll`` | ``start_all`` |
| ``waitForJob`` | ``wait_for_unit`` |
| ``mustSucceed``, ``mustFail`` | ``succeed``, ``fail`` |
| ``copyFileFromHost`` | ``copy_from_host`` |
| ``sendKeys`` | ``send_key`` |
| any other ``camelCase`` | the same in ``snake_case`` |

Invariant: aliases only; an alias and its name never differ in anything.
"""

from __future__ import annotations

import re
from typing import Any, Dict

#: Old names that are not merely spelt otherwise.
RENAMED: Dict[str, str] = {
    "mustSucceed": "succeed",
    "mustFail": "fail",
    "waitForJob": "wait_for_unit",
    "copyFileFromHost": "copy_from_host",
    "sendKeys": "send_key",
    "nest": "nested",
    "waitUntilTTYMatches": "wait_until_tty_matches",
    "getTTYText": "get_tty_text",
    "waitForX": "wait_for_x",
    "sendMonitorCommand": "send_monitor_command",
}

#: Every old method of a machine with its name of today.
MACHINE: Dict[str, str] = {
    **RENAMED,
    **{
        re.sub(r"_(\w)", lambda m: m[1].upper(), name): name
        for name in (
            "is_up start_job stop_job systemctl get_unit_info get_unit_property require_unit_state wait_for_unit "
            "wait_until_succeeds wait_until_fails wait_for_file wait_for_open_port wait_for_closed_port "
            "wait_for_shutdown wait_for_console_text get_window_names wait_for_window get_screen_text wait_for_text "
            "send_chars send_key send_console forward_port copy_from_host"
        ).split()
        if "_" in name
    },
}

#: Every old function with its name of today.
GLOBALS: Dict[str, str] = {"startAll": "start_all", "joinAll": "join_all", "runTests": "run_tests"}


class MachineAliases:
    """Gives a machine its old names."""

    def __getattr__(self, name: str) -> Any:
        # Asked only for what a machine does not have by itself.
        today = MACHINE.get(name)
        if today is None:
            raise AttributeError(f"a machine has no {name!r}; help({type(self).__name__}) shows what it has")
        return getattr(self, today)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *MACHINE})
