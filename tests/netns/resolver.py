"""A resolver for our own names: `python resolver.py ADDRESS PORT NAME=ADDRESS…`.  Prints `ready` when it serves."""

import socket
import struct
import sys
import threading


def answer(question: bytes, names: dict[str, str]) -> bytes:
    """Answer an A question from `names`; anything else gets an empty answer, an unknown name NXDOMAIN."""
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += 1 + question[at]
    kind = struct.unpack_from("!H", question, at + 1)[0]
    asked = question[12 : at + 5]
    address = names.get(".".join(labels).lower())
    found = address is not None and kind == 1
    flags = 0x8180 if address is not None else 0x8183
    head = question[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(address) if found and address else b""
    return head + asked + record


def over_tcp(address: str, port: int, names: dict[str, str]) -> None:
    """Serve one question a connection."""
    with socket.create_server((address, port)) as listener:
        while True:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(5)
                try:
                    question = peer.recv(2048)[2:]
                    reply = answer(question, names)
                except (OSError, IndexError, struct.error):
                    continue
                peer.sendall(struct.pack("!H", len(reply)) + reply)


def main(address: str, port: str, *pairs: str) -> None:
    """Serve UDP and TCP until killed."""
    names = {name: there for name, _, there in (pair.partition("=") for pair in pairs)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, int(port)))
        threading.Thread(target=over_tcp, args=(address, int(port), names), daemon=True).start()
        print("ready", flush=True)
        while True:
            question, peer = sock.recvfrom(2048)
            try:
                sock.sendto(answer(question, names), peer)
            except (IndexError, struct.error):
                continue


if __name__ == "__main__":
    main(*sys.argv[1:])
