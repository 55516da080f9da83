"""What all tests share: how hypothesis looks for counterexamples.

The same examples in every run, so that a red run is the change's doing; `HYPOTHESIS_PROFILE=explore` looks for new
ones. No deadline: time is measured by scripts/bench, and a busy machine is no fault of the code.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeat", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", settings.get_profile("repeat"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: what these tests start would ignore Ctrl-C as well, and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
