"""The smallest collector: takes OTLP over HTTP, decodes it with OpenTelemetry's own messages, and
prints each request as a line of JSON. The file CONTROL says how to answer: "ok", "busy", "refuse",
"partial", or "hang"."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, sys.argv[1])
control = sys.argv[2]

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

SIGNALS = {
    "/v1/metrics": ("metrics", metrics.ExportMetricsServiceRequest),
    "/v1/traces": ("traces", trace.ExportTraceServiceRequest),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mode = open(control).read().strip()
        if mode == "hang":
            time.sleep(60)
            return
        signal, message = SIGNALS[self.path]
        request = message()
        request.ParseFromString(body)
        # What was not understood would be left over.
        request.DiscardUnknownFields()
        known = len(request.SerializeToString()) == len(body)
        line = {
            "signal": signal,
            "mode": mode,
            "type": self.headers["Content-Type"],
            "authorization": self.headers["Authorization"],
            "known": known,
            "request": MessageToDict(request),
        }
        print(json.dumps(line), flush=True)
        answer = trace.ExportTraceServiceResponse()
        if mode == "partial" and signal == "traces":
            answer.partial_success.rejected_spans = 1
        status = {"busy": 503, "refuse": 400}.get(mode, 200)
        payload = answer.SerializeToString() if status == 200 else b""
        self.send_response(status)
        if mode == "busy":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listening on %d" % server.server_address[1], flush=True)
server.serve_forever()
