"""A collector of reachability reports, which come through the onion network, and what it publishes of them.

It learns no address and no account, keeps no report as it came, and publishes a month when it is over: only what ten
reporters say alike, in tens.  How to run one, and what that protects: docs/servers.md.
"""

from ramson.servers.reports.service import ReportService

__all__ = ["ReportService"]
