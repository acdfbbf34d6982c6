// A server on the JDK's own com.sun.net.httpserver, with faults that are asked for by path. App PORT; idle connections
// close after -Dsun.net.httpserver.idleInterval seconds.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.Map;
import java.util.concurrent.Executors;

public class App {
    static final Map<String, Integer> UPSTREAM =
        Map.of("/call", 7200, "/refused", 7201, "/silent", 7202, "/hang", 7203);

    // Computes for so long by the thread's own clock, however often it is interrupted.
    static void spin(int ms) {
        var threads = ManagementFactory.getThreadMXBean();
        long end = threads.getCurrentThreadCpuTime() + ms * 1_000_000L;
        while (threads.getCurrentThreadCpuTime() < end) {
        }
    }

    // One request to an upstream; the status it ends with for the client.
    static int call(String path, int ms) {
        int limit = path.equals("/call") ? 10_000 : 500;
        try (Socket upstream = new Socket()) {
            upstream.setSoTimeout(limit);
            upstream.connect(new InetSocketAddress("127.0.0.1", UPSTREAM.get(path)), limit);
            String request = "GET /sleep?ms=" + ms + " HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n";
            upstream.getOutputStream().write(request.getBytes());
            upstream.getInputStream().readAllBytes();
            return 200;
        } catch (IOException failed) {
            return 502;
        }
    }

    static int number(HttpExchange exchange, String name) {
        String query = exchange.getRequestURI().getQuery();
        for (String pair : query == null ? new String[0] : query.split("&")) {
            if (pair.startsWith(name + "=")) {
                return Integer.parseInt(pair.substring(name.length() + 1));
            }
        }
        return 0;
    }

    static void serve(HttpExchange exchange) throws IOException {
        long begun = System.nanoTime();
        String path = exchange.getRequestURI().getPath();
        int ms = number(exchange, "ms");
        int status = 200;
        byte[] body = "ok".getBytes();
        try (exchange) {
            if (!path.equals("/unread")) {
                exchange.getRequestBody().readAllBytes();
            }
            switch (path) {
                case "/compute" -> spin(ms);
                case "/sleep" -> Thread.sleep(ms);
                case "/call", "/refused", "/silent", "/hang" -> status = call(path, ms);
                case "/big" -> body = new byte[number(exchange, "bytes")];
                case "/stream" -> {
                    exchange.sendResponseHeaders(200, 0);
                    for (int left = number(exchange, "n"); left >= 0; left--) {
                        exchange.getResponseBody().write('.');
                        exchange.getResponseBody().flush();
                        Thread.sleep(left > 0 ? ms : 0);
                    }
                    return;
                }
                default -> { }
            }
            exchange.getResponseHeaders().set("X-Took", Long.toString((System.nanoTime() - begun) / 1_000));
            // Head and body are written apart.
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    public static void main(String[] words) throws IOException {
        var server = HttpServer.create(new InetSocketAddress(Integer.parseInt(words[0])), 4096);
        server.createContext("/", App::serve);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
