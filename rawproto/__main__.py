"""`python -m rawproto` is the command `rawproto`."""

import sys

from rawproto.cli import main

sys.exit(main())
