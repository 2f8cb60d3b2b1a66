"""An account: encrypted store, outbox, inbox and the `Client` facade."""
