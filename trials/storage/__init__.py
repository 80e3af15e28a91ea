"""Files on disks and in object stores: atomic writes, checksums, and a local spool for results that
cannot be uploaded yet.
"""
