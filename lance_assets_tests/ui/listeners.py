"""Who listens where, in whole trees of processes, looked at again and again while they work."""

import ipaddress
import socket
import threading

import psutil

LOOK_SECONDS = 0.2


def tree(root: int) -> list[psutil.Process]:
    """A process with all that it started; empty when it is gone."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def addresses(process: psutil.Process) -> set[str]:
    """Addresses on which a process can be reached: listening TCP, and bound UDP without a peer."""
    try:
        sockets = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()
    return {
        one.laddr.ip
        for one in sockets
        if one.laddr and (one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr))
    }


def name(process: psutil.Process) -> str:
    """The command, short enough for a message."""
    try:
        return " ".join(process.cmdline())[:120] or process.name()
    except psutil.NoSuchProcess:
        return "gone"


def is_loopback(address: str) -> bool:
    """127.0.0.0/8, ::1, and the former as an IPv6 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class Watch:
    """While inside, remembers every (address, command) that listened in the trees of `roots`, and every command."""

    def __init__(self, *roots: int):
        self.roots = roots
        self.seen: set[tuple[str, str]] = set()
        self.commands: set[str] = set()
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            for process in {one for root in self.roots for one in tree(root)}:
                command = name(process)
                self.commands.add(command)
                self.seen |= {(address, command) for address in addresses(process)}
            self.looks += 1
            if self._end.wait(LOOK_SECONDS):
                return

    def elsewhere(self) -> list[str]:
        """Listeners that are not on loopback."""
        return sorted(f"{address}: {command}" for address, command in self.seen if not is_loopback(address))
