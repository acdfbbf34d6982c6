<?php
// A script for PHP-FPM, with faults that are asked for by path.

// Computes for so long by the process's own clock, however often it is interrupted.
function spin(int $ms): void
{
    $used = function (): float {
        $usage = getrusage();
        return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']
            + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
    };
    for ($end = $used() + $ms / 1000; $used() < $end;) {
    }
}

// One request to an upstream; the status it ends with for the client.
function call(int $port, int $ms, float $limit): int
{
    $upstream = @stream_socket_client("tcp://127.0.0.1:$port", $code, $text, $limit);
    if (!$upstream) {
        return 502;
    }
    stream_set_timeout($upstream, (int) $limit, (int) (($limit - (int) $limit) * 1e6));
    fwrite($upstream, "GET /sleep?ms=$ms HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n");
    return stream_get_contents($upstream) === '' ? 502 : 200;
}

$begun = hrtime(true);
$path = $_SERVER['PATH_INFO'];
$ms = (int) ($_GET['ms'] ?? 0);
$body = 'ok';
switch ($path) {
    case '/compute':
        spin($ms);
        break;
    case '/sleep':
        usleep($ms * 1000);
        break;
    case '/call':
        http_response_code(call(7200, $ms, 10));
        break;
    case '/refused':
        http_response_code(call(7201, 0, 0.5));
        break;
    case '/silent':
        http_response_code(call(7202, 0, 0.5));
        break;
    case '/hang':
        http_response_code(call(7203, 0, 0.5));
        break;
    case '/big':
        $body = str_repeat('x', (int) $_GET['bytes']);
        break;
    case '/stream':
        for ($left = (int) $_GET['n']; $left >= 0; $left--) {
            echo '.';
            @ob_flush();
            flush();
            usleep($left > 0 ? $ms * 1000 : 0);
        }
        exit;
}
header('X-Took: ' . intdiv(hrtime(true) - $begun, 1000));
echo $body;
