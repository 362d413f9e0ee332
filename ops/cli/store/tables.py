"""What `landfall verify` leaves for `landfall doctor` and metrics."""

import asyncpg


async def note_verification(connection: asyncpg.Connection, rows: int, drifted: int, colliding: int) -> None:
    """Note that so many rows were compared with the log, how many are not what it says, and how many ids collide."""
    await connection.execute(
        "INSERT INTO public.crm_verifications (compared_rows, drifted_rows, colliding_ids) VALUES ($1, $2, $3)",
        *(rows, drifted, colliding),
    )
