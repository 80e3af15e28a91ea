"""Files on disks and in object stores: written whole, checked by their checksum, kept until they
can be uploaded.
"""
