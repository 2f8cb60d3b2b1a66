"""Interface draft (being written): see the docstrings below.

class Service:
    def __init__(self, *, clock: Clock, signer: Ed25519KeyPair, mailbox: Mailbox, registry: Registry,
                 forwarder: Forwarder, monitor: Monitor, testnet: bool, version: tuple[int, int, int] = (2, 8, 0))
    def handle_json(self, body: bytes) -> Outcome | Awaitable[Outcome]
        # POST /storage_rpc/v1 and the payload of an onion request.  Never raises.  Synchronous methods (retrieve,
        # info, get_swarm, get_expiries, batches of these, every refusal) return an Outcome at once.
    def handle_omq(self, method: str, parts: list[bytes]) -> list[bytes] | Awaitable[list[bytes]]
        # register one command `storage.<name>` for every name in ramson.protocol.storage.METHODS and its aliases
        # (`ramson.protocol.storage.NAMES`)
    def handle_forwarded(self, parts: list[bytes]) -> list[bytes] | None | Awaitable[list[bytes] | None]
        # sn.storage_cc; None = no reply

class Monitor:      # node/monitor.py
    def __init__(self, *, clock: Clock, push: Callable[[Origin, str, list[bytes]], bool],
                 owns: Callable[[bytes], bool], is_revoked: Callable[[bytes, bytes], bool])
    def subscribe(self, origin: Origin, parts: list[bytes]) -> list[bytes]      # monitor.messages
    def notify(self, message: NewMessage) -> None        # the service calls it after a new client store
    def sweep(self) -> int                               # call every minute: forgets what has run out

class RateLimiter:  # node/ratelimit.py
    def __init__(self, clock: Clock)
    def allow(self, ip: str) -> bool                     # False: 429 `Too Many Requests\n`
    def sweep(self) -> None                              # call every 10 s
"""
