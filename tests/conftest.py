"""What all tests share: how hypothesis looks for counterexamples.

The same examples in every run, so that a red run is the change's doing; `HYPOTHESIS_PROFILE=explore` looks for new
ones. No deadline: time is measured by scripts/bench, and a busy machine is no fault of the code.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeat", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", settings.get_profile("repeat"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
