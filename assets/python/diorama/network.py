"""The network between the machines, and its faults.

``network.partition([a], [b, c])``, ``network.isolate(a)``, ``link(a, b).cut()``, ``link(a, b).down()``,
``network.heal()``: machines are given as themselves or by name. A link is one direction of a pair:
``link(a, b).cut()`` drops every frame from ``a`` to ``b`` in silence and leaves the other way alone;
``link(a, b).both().cut()`` takes both. ``down`` takes the carrier away, which the guest sees, of the
interface by which ``a`` reaches ``b``; a carrier has no direction.

Invariant: whatever a script did, everything is healed at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Set, Tuple, Union

from .errors import TestScriptError

if TYPE_CHECKING:
    from .driver import Driver
    from .machine import Machine

Which = Union["Machine", str]


def name_of(which: Which) -> str:
    """A machine's name."""
    return which if isinstance(which, str) else which.name


class Link:
    """One direction between two machines, or both."""

    def __init__(self, network: Network, pairs: List[Tuple[str, str]]) -> None:
        self._network = network
        self._pairs = pairs

    def __repr__(self) -> str:
        return ", ".join(f"{a} to {b}" for a, b in self._pairs)

    def both(self) -> Link:
        """The same link with its other direction."""
        pairs = dict.fromkeys(self._pairs)
        pairs.update(dict.fromkeys((b, a) for a, b in self._pairs))
        return Link(self._network, list(pairs))

    def cut(self) -> None:
        """Drops every frame, in silence."""
        for a, b in self._pairs:
            self._network.act("cut", **{"from": a, "to": b})

    def heal(self) -> None:
        """Lets frames pass again, and raises the carriers that :meth:`down` took away."""
        for a, b in self._pairs:
            self._network.act("heal", **{"from": a, "to": b})
        self.up()

    def down(self) -> None:
        """Takes the carrier of the interfaces away by which the sender reaches the receiver."""
        self._carrier(False)

    def up(self) -> None:
        """Gives the carrier back."""
        self._carrier(True)

    def _carrier(self, up: bool) -> None:
        for a, b in self._pairs:
            for interface in self._network.interfaces(a, b):
                self._network.act("carrier", node=a, interface=interface, up=up)


class Network:
    """The network as a whole."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def link(self, sender: Which, receiver: Which) -> Link:
        """The direction from one machine to another."""
        a, b = name_of(sender), name_of(receiver)
        for name in (a, b):
            self._known(name)
        if a == b:
            raise TestScriptError(f"{a} has no link to itself")
        return Link(self, [(a, b)])

    def partition(self, *groups: Iterable[Which]) -> None:
        """Separates groups of machines from each other, both ways; within a group all stays as it is.

        With a single group, that group is separated from everyone else.
        """
        sets = [list(dict.fromkeys(name_of(m) for m in group)) for group in groups]
        if len(sets) == 1:
            sets.append([m.name for m in self._driver.everyone if m.name not in sets[0]])
        seen: Set[str] = set()
        for name in (name for group in sets for name in group):
            self._known(name)
            if name in seen:
                raise TestScriptError(f"{name} is in several groups of the partition")
            seen.add(name)
        linked = {(link["from"], link["to"]) for link in self._driver.connection.view["links"]}
        for i, group in enumerate(sets):
            for a, b in self._across(group, sets[:i] + sets[i + 1 :]):
                if (a, b) in linked:
                    self.act("cut", **{"from": a, "to": b})

    @staticmethod
    def _across(group: List[str], others: List[List[str]]) -> Iterator[Tuple[str, str]]:
        for a in group:
            for other in others:
                for b in other:
                    yield a, b

    def isolate(self, machine: Which) -> None:
        """Cuts a machine off from all others, both ways."""
        self.act("isolate", node=self._known(name_of(machine)))

    def rejoin(self, machine: Which) -> None:
        """Undoes every cut to or from a machine."""
        self.act("rejoin", node=self._known(name_of(machine)))

    def down(self, machine: Which) -> None:
        """Takes the carrier of all of a machine's VLAN interfaces away."""
        self.act("carrier", node=self._known(name_of(machine)), interface=None, up=False)

    def up(self, machine: Which) -> None:
        """Gives the carrier of all of a machine's VLAN interfaces back."""
        self.act("carrier", node=self._known(name_of(machine)), interface=None, up=True)

    def heal(self) -> None:
        """Removes every fault."""
        self.act("healAll")

    @property
    def faults(self) -> List[str]:
        """The faults that are active, in words."""
        # Asked anew: what was last told may be a moment old.
        view = self._driver.connection.refresh()
        out = [f"{link['from']} to {link['to']} is cut" for link in view["links"] if link.get("wanted") == "cut"]
        for node in view["nodes"]:
            for interface in node.get("interfaces", []):
                if not interface.get("carrier", True):
                    out.append(f"{node['name']}: the carrier of {interface['name']} is down")
        return out

    # --- for this module ---

    def act(self, do: str, **fields: Any) -> None:
        """Has the session change its links, and says so."""
        message = self._driver.connection.act(do, **fields)
        self._driver.log.line(message, style="35")
        self._driver.log.event("fault", do=do, text=message, **fields)

    def interfaces(self, a: str, b: str) -> List[str]:
        """The interfaces by which a machine reaches another."""
        vlans = {i["vlan"] for i in self._interfaces(b)}
        names = [i["name"] for i in self._interfaces(a) if i["vlan"] in vlans]
        if not names:
            raise TestScriptError(f"{a} and {b} share no VLAN, so there is no link between them")
        return names

    def _interfaces(self, name: str) -> List[Dict[str, Any]]:
        for node in self._driver.connection.view["nodes"]:
            if node["name"] == name:
                return list(node.get("interfaces", []))
        return []

    def _known(self, name: str) -> str:
        names = [m.name for m in self._driver.everyone]
        if name not in names:
            raise TestScriptError(f"there is no machine {name!r}; there are {', '.join(names)}")
        return name
