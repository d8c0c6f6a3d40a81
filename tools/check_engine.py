"""Warn, at the end of an installation, where the native engine is unavailable."""

import sys

from patchmosaic.engines import native

if __name__ == "__main__" and not native.available():
    sys.stderr.write(
        f"warning: {native.unavailable_reason()}\n"
        "Until then the dense engine is used, which is many times slower.\n"
    )
