"""The command line with every socket watched: run with -c or as a script, arguments as for `python -m bot`.

The last line of standard error says what touched the network, and whether its client was even loaded.
"""

import socket
import sys

EVENTS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
touched: list[str] = []


def watch(event: str, details: tuple[object, ...]) -> None:
    """Note and refuse what goes further than this process; event loops talk to themselves over pairs."""
    if event in EVENTS and not (isinstance(details[0], socket.socket) and details[0].family == socket.AF_UNIX):
        touched.append(f"{event}{details[1:]}")
        raise OSError(f"the test forbids {event}")


if __name__ == "__main__":
    sys.addaudithook(watch)
    from bot.cli import main

    code = main(sys.argv[1:])
    clients = sorted({"yfinance", "curl_cffi"} & set(sys.modules))
    print("network:", *(touched or ["none"]), "clients:", *(clients or ["none"]), file=sys.stderr)  # noqa: T201 - its answer
    sys.exit(code)
