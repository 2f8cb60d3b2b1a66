"""The mailbox against a model of plain dicts: whatever is done in whatever order, also across reopening."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ramson.node.mailbox import ExpireMode, Mailbox, NewMessage, message_cost
from ramson.protocol.namespaces import is_public_outbox

ACCOUNTS = [b"\x05" + bytes([i]) * 32 for i in range(2)]
HASHES = [f"{i:043d}" for i in range(6)]
TOKENS = [b"token%d" % i for i in range(3)]

accounts = st.sampled_from(ACCOUNTS)
namespaces = st.sampled_from([0, 5, -1, -10])
hashes = st.sampled_from(HASHES)
times = st.integers(1, 20)
messages = st.builds(
    lambda account, namespace, text, timestamp, expiry, size: NewMessage(
        account, namespace, text, timestamp, expiry, text.encode()[-1:] * size
    ),
    accounts,
    namespaces,
    hashes,
    times,
    times,
    st.integers(1, 6),
)


def owns(account):
    return True


class InlineDisk:
    async def run(self, work):
        return work()

    async def close(self):
        pass


class Clock:
    def now(self):
        return 0

    def monotonic(self):
        return 0.0


class MailboxMachine(RuleBasedStateMachine):
    """`rows` is the model: [account, namespace, hash, timestamp, expiry, data] in order of arrival.

    `marked` are the messages ever deleted or lowered: even when they have gone, something is known of them.
    """

    @initialize()
    def open_first(self):
        self.place = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.rows: list[list] = []
        self.marked: set = set()
        self.revoked: set = set()
        self.open()

    def open(self):
        self.box = Mailbox(Path(self.place.name, "m.db"), InlineDisk(), Clock())
        self.do(self.box.swarm.compute_digests(owns))

    def do(self, coroutine):
        return self.runner.run(coroutine)

    def find(self, account, namespace=None, text=None):
        return [r for r in self.rows if r[0] == account and namespace in (None, r[1]) and text in (None, r[2])]

    def mark(self, rows):
        self.marked |= {tuple(r[:3]) for r in rows}

    def delete_rows(self, rows):
        self.mark(rows)
        self.drop(rows)

    def drop(self, rows):
        self.rows = [r for r in self.rows if r not in rows]

    @staticmethod
    def by_namespace(rows):
        return {ns: sorted(r[2] for r in rows if r[1] == ns) for ns in {r[1] for r in rows}}

    def model_store(self, m):
        if is_public_outbox(m.namespace):
            self.delete_rows([r for r in self.find(m.account, m.namespace) if r[2] != m.hash])
        known = self.find(m.account, m.namespace, m.hash)
        if not known:
            self.rows.append([m.account, m.namespace, m.hash, m.timestamp, m.expiry, m.data])
            return True, m.expiry
        known[0][4] = max(known[0][4], m.expiry)
        return False, known[0][4]

    @rule(batch=st.lists(messages, min_size=1, max_size=5))
    def store(self, batch):
        async def together():
            return await asyncio.gather(*(self.box.store(m) for m in batch))

        got = self.do(together())
        assert [(s.new, s.expiry) for s in got] == [self.model_store(m) for m in batch]

    @rule(batch=st.lists(messages.filter(lambda m: not is_public_outbox(m.namespace)), max_size=5))
    def store_many(self, batch):
        new = 0
        for m in batch:
            known = (m.account, m.namespace, m.hash) in self.marked
            if not known and not self.find(m.account, m.namespace, m.hash):
                self.model_store(m)
                new += 1
        assert self.do(self.box.store_many(batch)) == new

    @rule(account=accounts, texts=st.lists(hashes, min_size=1, max_size=4))
    def delete(self, account, texts):
        gone = [r for r in self.find(account) if r[2] in texts]
        self.delete_rows(gone)
        assert self.do(self.box.delete(account, texts)) == sorted({r[2] for r in gone})

    @rule(account=accounts, namespace=st.none() | namespaces)
    def delete_all(self, account, namespace):
        gone = self.find(account, namespace)
        self.delete_rows(gone)
        assert self.do(self.box.delete_all(account, namespace)) == self.by_namespace(gone)

    @rule(account=accounts, namespace=st.none() | namespaces, time=times)
    def delete_before(self, account, namespace, time):
        gone = [r for r in self.find(account, namespace) if r[3] <= time]
        self.delete_rows(gone)
        assert self.do(self.box.delete_before(account, namespace, time)) == self.by_namespace(gone)

    @rule(account=accounts, namespace=st.none() | namespaces, time=times)
    def expire_all(self, account, namespace, time):
        changed = [r for r in self.find(account, namespace) if r[4] > time]
        self.mark(changed)
        for r in changed:
            r[4] = time
        assert self.do(self.box.expire_all(account, namespace, time)) == self.by_namespace(changed)

    @rule(
        account=accounts,
        changes=st.lists(st.tuples(hashes, times), max_size=4, unique_by=lambda c: c[0]),
        mode=st.sampled_from(ExpireMode),
    )
    def expire(self, account, changes, mode):
        updated, unchanged = {}, {}
        for text, time in changes:
            for r in self.find(account, text=text):
                allowed = {
                    ExpireMode.SET: True,
                    ExpireMode.SHORTEN: time < r[4],
                    ExpireMode.EXTEND: time > r[4],
                }[mode]
                if allowed:
                    if time < r[4]:
                        self.mark([r])
                    r[4] = updated[text] = time
                else:
                    unchanged[text] = max(r[4], unchanged.get(text, 0))
        result = self.do(self.box.expire(account, changes, mode))
        assert result.updated == updated
        assert result.unchanged == {k: v for k, v in unchanged.items() if k not in updated}

    @rule(account=accounts, tokens=st.lists(st.sampled_from(TOKENS), max_size=3))
    def revoke(self, account, tokens):
        self.do(self.box.revoke(account, tokens))
        self.revoked |= {(account, t) for t in tokens}

    @rule(account=accounts, tokens=st.lists(st.sampled_from(TOKENS), max_size=3))
    def unrevoke(self, account, tokens):
        gone = {(account, t) for t in tokens} & self.revoked
        self.revoked -= gone
        assert self.do(self.box.unrevoke(account, tokens)) == len(gone)

    @rule(now=times)
    def sweep(self, now):
        gone = [r for r in self.rows if r[4] <= now]
        self.drop(gone)
        assert self.do(self.box.sweep(now)) == len(gone)

    @rule(
        account=accounts,
        namespace=namespaces,
        after=st.none() | hashes,
        max_count=st.none() | st.integers(-1, 4),
        max_size=st.integers(1, 1000),
    )
    def retrieve(self, account, namespace, after, max_count, max_size):
        rows = self.find(account, namespace)
        positions = [i for i, r in enumerate(rows) if r[2] == after]
        if positions:
            rows = rows[positions[0] + 1 :]
        want, size = [], 0
        for r in rows:
            size += message_cost(len(r[5]))
            if want and (size > max_size or len(want) == max_count):
                break
            want.append(r)
        more = len(want) < len(rows)
        if max_count is not None and max_count < 1:
            want, more = [], False
        page = self.box.retrieve(account, namespace, after=after, max_count=max_count, max_size=max_size)
        assert [[m.hash, m.timestamp, m.expiry, m.data] for m in page.messages] == [r[2:] for r in want]
        assert page.more == more

    @rule(account=accounts, texts=st.lists(hashes, max_size=4))
    def expiries(self, account, texts):
        want = {t: max(r[4] for r in self.find(account, text=t)) for t in texts if self.find(account, text=t)}
        assert self.box.expiries(account, texts) == want

    @rule()
    def reopen(self):
        self.do(self.box.close())
        self.open()

    @rule()
    def compute_digests(self):
        kept = [self.box.swarm.digests(prefix) for prefix in (b"", b"\0", b"\1")]
        self.do(self.box.swarm.compute_digests(owns))
        assert [self.box.swarm.digests(prefix) for prefix in (b"", b"\0", b"\1")] == kept

    @invariant()
    def all_is_there(self):
        if not hasattr(self, "box"):
            return
        assert self.box.stats().messages == len(self.rows)
        for account in ACCOUNTS:
            assert {t for t in TOKENS if self.box.is_revoked(account, t)} == {
                t for a, t in self.revoked if a == account
            }

    def teardown(self):
        if hasattr(self, "box"):
            self.do(self.box.close())
            self.runner.close()
            self.place.cleanup()


TestMailbox = MailboxMachine.TestCase
TestMailbox.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
