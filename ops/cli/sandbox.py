"""`landfall sandbox`: the platforms on this machine."""

from pathlib import Path

import click
from aiohttp import web

from ops.cli import wiring
from ops.cli.terminal import echo
from ops.runtime.files import UnsafePathError
from ops.runtime.unparsed import answer_unparsed
from ops.sandbox.server import Server
from ops.sandbox.state import UnreadableStateError


async def sandbox(
    host: str,
    port: int,
    seed: int,
    remember: int,
    room: int,
    pace: float | None,
    speed: float | None,
    state: Path | None,
) -> None:
    """Run until SIGTERM. A world from a file keeps its pace and speed where none is given.

    Raises ClickException where the address is taken or the state cannot be read.
    """
    stop = wiring.stop_event()
    try:
        server = Server(seed, remember, room, state)
    except UnsafePathError as error:
        raise click.ClickException(f"{error}; or give another --state") from None
    except (OSError, UnreadableStateError) as error:
        raise click.ClickException(f"{state} cannot be read: {error}; give another --state") from None
    if speed is not None:
        server.world.clock.run(speed)
    if pace is not None:
        server.world.hurry(pace)
    runner = web.AppRunner(server.app(host), access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    if runner.server is not None:
        answer_unparsed(runner.server)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        reason = f"{host}:{port} cannot be listened on ({error.strerror})"
        raise click.ClickException(f"{reason}: choose another --port") from None
    address = f"http://{host}:{runner.addresses[0][1]}"
    echo(f"page: {address}/")
    for name in server.world.platforms:
        echo(f"{name}: {address}/{name}")
    echo(f"ledger: {address}/_sandbox/ledger")
    await stop.wait()
    await runner.cleanup()
    server.save()
