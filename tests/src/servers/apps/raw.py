"""A server on asyncio that speaks HTTP/1.1 by itself, with faults that are asked for by path. raw.py PORT IDLE_SECONDS"""
import asyncio
import socket
import sys
import time
import urllib.parse

IDLE = float(sys.argv[2])


def spin(ms):
    """Computes for so long by the thread's own clock, however often it is interrupted."""
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        pass


async def call(port, path, limit=0.5):
    """One request on a connection of its own; the status it ends with for the client."""
    try:
        async with asyncio.timeout(limit if path == '/' else 10):
            reader, writer = await asyncio.open_connection('127.0.0.1', port)
            writer.write(f'GET {path} HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n'.encode())
            await reader.read()
            writer.close()
            return 200
    except (OSError, TimeoutError):
        return 502


def head(length, status=200, more=''):
    return f'HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n{more}\r\n'.encode()


async def answer(path, value, writer, begun):
    sock = writer.get_extra_info('socket')
    body, status = b'ok', 200
    if path == '/compute':
        spin(value['ms'])
    elif path == '/sleep':
        await asyncio.sleep(value['ms'] / 1000)
    elif path == '/call':
        status = await call(7200, f"/sleep?ms={value['ms']}")
    elif path == '/refused':
        status = await call(7201, '/')
    elif path == '/silent':
        status = await call(7202, '/')
    elif path == '/hang':
        status = await call(7203, '/')
    elif path == '/big':
        body = b'x' * value['bytes']
    elif path == '/stream':
        writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n')
        for _ in range(value['n']):
            await asyncio.sleep(value['ms'] / 1000)
            writer.write(b'1\r\n.\r\n')
        writer.write(b'0\r\n\r\n')
        return await writer.drain()
    elif path == '/split':
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        writer.write(head(2))
    elif path == '/cork':
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    elif path == '/unread':
        writer.write(head(100_000) + b'x' * 100_000)
        return writer.close()
    took = f'X-Took: {(time.monotonic_ns() - begun) // 1000}\r\n'
    writer.write(body if path == '/split' else head(len(body), status, took) + body)
    await writer.drain()


async def serve(reader, writer):
    try:
        while True:
            line = await asyncio.wait_for(reader.readline(), IDLE)
            if not line:
                break
            begun = time.monotonic_ns()
            length = 0
            while True:
                header = (await reader.readline()).strip().lower()
                if not header:
                    break
                if header.startswith(b'content-length:'):
                    length = int(header[15:])
            target = urllib.parse.urlsplit(line.split()[1].decode())
            if length and target.path != '/unread':
                await reader.readexactly(length)
            value = {name: int(text) for name, text in urllib.parse.parse_qsl(target.query)}
            await answer(target.path, value, writer, begun)
            if writer.is_closing():
                return
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, '0.0.0.0', int(sys.argv[1]), backlog=4096)
    async with server:
        await server.serve_forever()


asyncio.run(main())
