"""`landfall sandbox`: the platforms on this machine."""

import click
from aiohttp import web

from ops.cli import wiring
from ops.sandbox.server import Server


async def sandbox(host: str, port: int, seed: int, remember: int) -> None:
    """Run until SIGTERM. Raises ClickException where the address is taken."""
    stop = wiring.stop_event()
    server = Server(seed, remember)
    runner = web.AppRunner(server.app(), access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        reason = f"{host}:{port} cannot be listened on ({error.strerror})"
        raise click.ClickException(f"{reason}: choose another --port") from None
    address = f"http://{host}:{runner.addresses[0][1]}"
    for name in server.world.platforms:
        click.echo(f"{name}: {address}/{name}")
    click.echo(f"ledger: {address}/_sandbox/ledger")
    await stop.wait()
    await runner.cleanup()
