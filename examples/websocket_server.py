"""A websocket server: sound in (int16 mono), readings out as JSON; one stream a connection.

python examples/websocket_server.py 8765      (needs `pip install websockets`)

A client first sends its sample rate as text ("48000"), then samples as bytes, any number at a
time; an empty text ends the stream.
"""

import asyncio
import json
import sys

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

import livesr


async def recognise(socket: ServerConnection) -> None:
    recognizer = livesr.Recognizer()  # one for each voice; the network is shared
    rate = int(await socket.recv())
    async for message in socket:
        try:
            samples = np.frombuffer(message or b"", "<i2")  # type: ignore[arg-type]
            readings = recognizer.push(samples, rate)
        except (livesr.LivesrError, ValueError, TypeError) as error:
            await socket.close(1003, str(error)[:120])
            return
        for reading in readings if message else recognizer.finish():
            await socket.send(json.dumps(reading.to_dict()))
        if not message:
            return


async def main(port: int) -> None:
    async with serve(recognise, "localhost", port) as server:
        print(f"ws://localhost:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
