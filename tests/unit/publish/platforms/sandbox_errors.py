"""The errors that the sandbox's platforms answer, by platform and name."""

from ops.runtime.platform_protocol import Response
from ops.sandbox.clock import Clock
from ops.sandbox.simulation import Simulation

NO_ERROR = "created_without_id"
"""A success as far as the answer goes; whoever asked misses the id."""

SANDBOX_ERRORS = {
    platform: {
        name: Response(answer.status, answer.content if isinstance(answer.content, dict | list) else None)
        for name, answer in simulated.error_answers().items()
        if name != NO_ERROR
    }
    for platform, simulated in Simulation(3, Clock()).platforms.items()
}
