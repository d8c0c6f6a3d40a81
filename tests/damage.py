"""What can happen to a file on a disk."""


def flip_bit(path, share=0.5):
    """One bit, at a share of the file's length."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)


def flip_first_bit(path):
    flip_bit(path, 0)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")
