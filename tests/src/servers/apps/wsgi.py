"""An application for WSGI and ASGI servers, with faults that are asked for by path."""
import asyncio
import http.client
import time
import urllib.parse

UPSTREAM = {'/call': 7200, '/refused': 7201, '/silent': 7202, '/hang': 7203}


def spin(ms):
    """Computes for so long by the thread's own clock, however often it is interrupted."""
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        pass


def call(path, value):
    """One request to an upstream; the status it ends with for the client."""
    upstream = http.client.HTTPConnection('127.0.0.1', UPSTREAM[path], timeout=10 if path == '/call' else 0.5)
    try:
        upstream.request('GET', f"/sleep?ms={value.get('ms', 0)}")
        upstream.getresponse().read()
        return 200
    except OSError:
        return 502
    finally:
        upstream.close()


def values(query):
    return {name: int(text) for name, text in urllib.parse.parse_qsl(query)}


def app(environ, start):
    begun = time.monotonic_ns()
    path, value = environ['PATH_INFO'], values(environ['QUERY_STRING'])
    body, status = b'ok', 200
    if path == '/compute':
        spin(value['ms'])
    elif path == '/sleep':
        time.sleep(value['ms'] / 1000)
    elif path in UPSTREAM:
        status = call(path, value)
    elif path == '/big':
        body = b'x' * value['bytes']
    elif path == '/unread':
        body = b'x' * 100_000
    elif path == '/stream':
        start('200 OK', [('Content-Type', 'text/plain')])

        def pieces():
            yield b'.'
            for _ in range(value['n']):
                time.sleep(value['ms'] / 1000)
                yield b'.'
        return pieces()
    else:
        environ['wsgi.input'].read()
    took = (time.monotonic_ns() - begun) // 1000
    start(f'{status} OK', [('Content-Length', str(len(body))), ('X-Took', str(took))])
    return [body]


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        return
    begun = time.monotonic_ns()
    path, value = scope['path'], values(scope['query_string'].decode())
    body, status = b'ok', 200
    if path == '/compute':
        spin(value['ms'])
    elif path == '/sleep':
        await asyncio.sleep(value['ms'] / 1000)
    elif path in UPSTREAM:
        status = await asyncio.to_thread(call, path, value)
    elif path == '/big':
        body = b'x' * value['bytes']
    elif path == '/unread':
        body = b'x' * 100_000
    elif path == '/stream':
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'.', 'more_body': True})
        for _ in range(value['n']):
            await asyncio.sleep(value['ms'] / 1000)
            await send({'type': 'http.response.body', 'body': b'.', 'more_body': True})
        await send({'type': 'http.response.body', 'body': b''})
        return
    else:
        while (await receive()).get('more_body'):
            pass
    took = (time.monotonic_ns() - begun) // 1000
    headers = [(b'content-length', str(len(body)).encode()), (b'x-took', str(took).encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})
