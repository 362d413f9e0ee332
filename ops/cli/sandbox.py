"""`landfall sandbox`: the platforms on this machine."""

from pathlib import Path

import click
from aiohttp import web

from ops.cli import wiring
from ops.cli.terminal import echo
from ops.runtime import logs
from ops.runtime.files import UnsafePathError
from ops.runtime.unparsed import answer_unparsed
from ops.sandbox.server import Server
from ops.sandbox.state import UnreadableStateError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535))
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same simulation.")
@click.option("--remember", default=10_000, show_default=True, type=click.IntRange(1), help="Calls kept in the ledger.")
@click.option("--room", default=10_000, show_default=True, type=click.IntRange(10), help="Comments a platform keeps.")
@click.option("--pace", type=click.FloatRange(0), help="Things that happen a second; none in a new simulation.")
@click.option("--speed", type=click.FloatRange(0), help="Its seconds in one of ours; 1 in a new simulation.")
@click.option(
    "--state", type=click.Path(path_type=Path, dir_okay=False), help="A file to go on from and to keep it in."
)
def sandbox_command(
    host: str,
    port: int,
    seed: int,
    remember: int,
    room: int,
    pace: float | None,
    speed: float | None,
    state: Path | None,
) -> None:
    """Stand in for the platforms on this machine, with a page to try things and a ledger of all that happened."""
    logs.configure()
    wiring.run(sandbox(host, port, seed, remember, room, pace, speed, state))


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
    """Run until SIGTERM. A simulation from a file keeps its pace and speed where none is given.

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
        server.simulation.clock.set_speed(speed)
    if pace is not None:
        server.simulation.set_pace(pace)
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
    for name in server.simulation.platforms:
        echo(f"{name}: {address}/{name}")
    echo(f"ledger: {address}/_sandbox/ledger")
    await stop.wait()
    await runner.cleanup()
    server.save()
