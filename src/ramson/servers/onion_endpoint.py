"""The server's end of an onion request: opening the last layer, and sealing the answer for whoever sent it.

The last node of the path POSTs the layer as it is.  What is inside is a version 4 request, and neither that node nor
any other sees it or its answer.  Spec: bootstrap-and-paths.md §2.4, §2.6.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, node_cipher
from ramson.errors import ParseError
from ramson.protocol import onion
from ramson.protocol.server_v4 import ServerRequest, ServerResponse, decode_request, encode_response
from ramson.world import HttpResponse

PATH: Final = "/oxen/v4/lsrpc"

_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
_OCTETS: Final = {"Content-Type": "application/octet-stream"}

_REFUSED: Final = HttpResponse(400, _TEXT, b"Invalid onion request")

Handler = Callable[[ServerRequest], Awaitable[ServerResponse]]


class OnionEndpoint:
    """Opens requests sealed to `identity`, has `handler` answer them, and seals the answers."""

    def __init__(self, identity: X25519KeyPair, handler: Handler, entropy: random.Random) -> None:
        self._identity = identity
        self._handler = handler
        self._entropy = entropy

    async def answer(self, body: bytes) -> HttpResponse:
        """Answer the body of one POST.  What cannot be opened is refused in clear text, for no key is agreed on."""
        try:
            layer = onion.parse_entry(body)
            cipher = node_cipher(layer.enc_type, self._identity, layer.ephemeral)
            plaintext = cipher.decrypt(layer.ciphertext)
        except ParseError:
            return _REFUSED
        if layer.enc_type is EncType.AES_CBC:  # not authenticated: anybody on the way could have changed it
            return _REFUSED
        try:
            request = decode_request(plaintext)
        except ParseError as error:
            response = ServerResponse(400, _TEXT, str(error).encode())
        else:
            response = await self._handler(request)
        sealed = cipher.encrypt(encode_response(response), self._entropy.randbytes(cipher.nonce_size))
        return HttpResponse(200, _OCTETS, sealed)
