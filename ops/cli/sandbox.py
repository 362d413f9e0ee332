"""`landfall sandbox`: the platforms on this machine."""

import pickle
from pathlib import Path

import click
from aiohttp import web

from ops.cli import wiring
from ops.cli.terminal import echo
from ops.runtime.files import UnsafePathError
from ops.runtime.unparsed import answer_unparsed
from ops.sandbox.server import Server


async def sandbox(
    host: str, port: int, seed: int, remember: int, room: int, pace: float, speed: float, state: Path | None
) -> None:
    """Run until SIGTERM. Raises ClickException where the address is taken or the state is none."""
    stop = wiring.stop_event()
    try:
        server = Server(seed, remember, room, state)
    except UnsafePathError as error:
        raise click.ClickException(f"{error}; or give another --state") from None
    except (OSError, TypeError, pickle.UnpicklingError, AttributeError, ImportError, EOFError) as error:
        reason = f"{state} cannot be gone on from ({type(error).__name__}: {error})"
        raise click.ClickException(f"{reason}: it is of another release; give another --state") from None
    server.world.clock.run(speed)
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
    if state is not None:
        server.snapshot()
