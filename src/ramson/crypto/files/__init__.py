"""Encryption of files: attachments in the legacy and in the deterministic form, and profile pictures.

`legacy` needs a random key and a digest beside the file; `stream` derives its key from the account and the
content, so that one account's equal files are equal blobs; `picture` is the old form of profile pictures.
All take and give chunks, so that memory does not grow with the file.  No I/O here: whoever calls reads and
writes.  Spec: files-and-push.md §7.1.
"""

from ramson.crypto.files import legacy, picture, stream
from ramson.crypto.files.chunks import FileTooLarge, Source, digest_of, of_bytes

__all__ = ["FileTooLarge", "Source", "digest_of", "legacy", "of_bytes", "picture", "stream"]
