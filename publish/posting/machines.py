"""The text of ``docs/machines.md``: a diagram of each machine, by ``python -m publish.posting.machines``."""

import sys

import publish.platforms
from ops.runtime.discovery import discover
from publish.posting.contract import Machine, PostingPlatform

INTRODUCTION = (
    "How each kind of post is published, made from the machines in `publish/platforms/` by"
    " `python -m publish.posting.machines > docs/machines.md`. Each state is a request, with its effect class and what"
    " people see meanwhile. **read**: nothing comes of it. **repeatable**: nobody sees what comes of it. **keyed**:"
    " people see it, and the platform does it once however often it is asked. **commit**: people see it, and a repeat"
    " could do it twice. *Outcome unknown* is where a target goes when no answer tells what came of the request; where"
    " no such arrow is drawn, the request is asked again. A step that *reads the log* takes what the platform told"
    " without being asked, before it asks and whenever there is more of it. Any step can also end by a refusal of the"
    " platform, or in a question to a person, once it was tried as often as `publish/posting/decision.py` says."
)


def document() -> str:
    """Return the text of ``docs/machines.md``. Machines that differ by their name only are drawn once."""
    parts = ["# Machines", INTRODUCTION]
    for name, platform in discover(publish.platforms, PostingPlatform, "machines").items():
        parts.append(f"## {name}")
        drawn: dict[str, list[Machine]] = {}
        for machine in platform.machines.values():
            drawn.setdefault(machine.diagram, []).append(machine)
        for diagram, machines in drawn.items():
            titles = ", ".join(f"{machine.title} (`{machine.name}`)" for machine in machines)
            parts += [f"### {titles}", f"```mermaid\n{diagram}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
