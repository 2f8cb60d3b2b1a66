"""A file server: encrypted files of strangers, kept for some days.

It knows the size and the hash of what it keeps, and when it came; not what it is, whose it is or for whom.
Spec: files-and-push.md §7.2; how to run one: docs/servers.md.
"""

from ramson.servers.files.config import FileServerConfig
from ramson.servers.files.service import FileService

__all__ = ["FileServerConfig", "FileService"]
