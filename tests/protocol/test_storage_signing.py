"""What is signed, by whom; vectors of storage-rpc.md §2–3."""

import base64

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair, verify
from ramson.errors import LocalError
from ramson.protocol import storage
from ramson.protocol.storage import sign, sign_as_subaccount

ONE = AccountKeys.from_seed(b"\x01" * 32)
NOW = 1_700_000_000_000
A, B = "A" * 43, "B" * 43


def test_retrieve_vector():
    request = sign(storage.Retrieve(account=ONE.id.raw, namespace=2, timestamp=NOW), ONE)
    assert request.to_json_params() == {
        "pubkey": "051b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57",
        "namespace": 2,
        "timestamp": NOW,
        "signature": "HXw3VwxAtW7qMprJqkfS+9QqK37aLp+FeFwtpDTQ4TAQd8jCTG0t54gdn5myQ8zethDk0025to+NT9GudifqDQ==",
        "pubkey_ed25519": ONE.ed25519.public.hex(),
    }


def test_subaccount_vector():
    owner, member = ONE.ed25519, Ed25519KeyPair.from_seed(b"\x02" * 32)
    token = b"\x03\x03\x00\x00" + member.public
    request = sign_as_subaccount(
        storage.Retrieve(account=b"\x03" + owner.public, namespace=11, timestamp=NOW),
        token=token,
        token_signature=owner.sign(token),
        signer=member.sign,
    )
    params = request.to_json_params()
    assert params["pubkey"] == "038a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    assert params["subaccount"] == "AwMAAIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
    assert params["subaccount_sig"] == (
        "A7lH7RGa1eFtYb1pDds2VSgYCAP638eV9E3oqn+VEXdI5dN9KZEyMnuSsVGrH6DX1ujigViQnxy0BY1WGbqlAA=="
    )
    assert params["signature"] == (
        "aGJuakPcysgnv2NvKH7qAOqBDfPagEJaR3ymmx9JvBv9knIv7U3B38m7Lm88nOPLBwZeHQ+rocNZGchDJNwEBQ=="
    )
    assert "pubkey_ed25519" not in params
    subaccount = request.credentials.subaccount
    assert (subaccount.prefix, subaccount.flags, subaccount.key) == (3, 3, member.public)


ME = {"account": ONE.id.raw}


@pytest.mark.parametrize(
    ("request_", "signed"),
    [
        (storage.Store(**ME, data=b"x", timestamp=5, expiry=6), b"store5"),
        (storage.Store(**ME, data=b"x", timestamp=5, expiry=6, namespace=-7, sig_timestamp=9), b"store-79"),
        (storage.Retrieve(**ME, timestamp=5), b"retrieve5"),
        (storage.Delete(**ME, messages=(B, A)), f"delete{B}{A}".encode()),
        (storage.DeleteAll(**ME, timestamp=5, namespace=None), b"delete_allall5"),
        (storage.DeleteBefore(**ME, before=5, namespace=3), b"delete_before35"),
        (storage.ExpireAll(**ME, expiry=5), b"expire_all5"),
        (storage.Expire(**ME, messages=(A,), expiry=(5,)), f"expire5{A}".encode()),
        (storage.Expire(**ME, messages=(A, B), expiry=(5, 6), shorten=True), f"expireshorten56{A}{B}".encode()),
        (storage.Expire(**ME, messages=(A,), expiry=(5,), extend=True), f"expireextend5{A}".encode()),
        (storage.GetExpiries(**ME, messages=(A, B), timestamp=5), f"get_expiries5{A}{B}".encode()),
        (storage.RevokeSubaccount(**ME, tokens=(b"\xff" * 36,), timestamp=5), b"revoke_subaccount5" + b"\xff" * 36),
        (storage.UnrevokeSubaccount(**ME, tokens=(bytes(36),) * 2, timestamp=5), b"unrevoke_subaccount5" + bytes(72)),
    ],
)
def test_what_is_signed(request_, signed):
    assert request_.signed_message() == signed
    credentials = sign(request_, ONE).credentials
    assert verify(ONE.ed25519.public, signed, credentials.signature)
    assert credentials.ed25519 == ONE.ed25519.public


def test_only_the_accounts_own_keys_sign():
    group = b"\x03" + ONE.ed25519.public
    request = storage.Delete(account=group, messages=(A,))
    signed = sign(request, ONE.ed25519)
    assert signed.credentials.ed25519 is None
    assert base64.b64decode(signed.to_json_params()["signature"]) == signed.credentials.signature
    with pytest.raises(LocalError):
        sign(request, ONE)
    with pytest.raises(LocalError):
        sign(request, Ed25519KeyPair.from_seed(bytes(32)))
    with pytest.raises(LocalError):
        sign_as_subaccount(request, token=b"short", token_signature=bytes(64), signer=ONE.ed25519.sign)
