"""`python -m internvideo`, which is what torchrun starts."""

import sys

from internvideo.cli import main

if __name__ == "__main__":
    sys.exit(main())
