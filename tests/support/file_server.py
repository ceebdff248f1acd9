#!/usr/bin/env python3
"""A server of the files of a folder that answers requests for ranges, also badly where its owner says so.

Usage: file_server.py FOLDER   serves well until its input ends; answers each line with {"port": NUMBER}
"""
import hashlib
import hmac
import http.server
import json
import pathlib
import re
import socket
import sys
import threading
import urllib.parse


class FileServer:
    """faults(number, path, range) -> None for a good answer, or one of
    ("status", code, headers), ("cut",), ("reset",), ("stall",), ("other range",), ("whole",); numbers count from 1."""

    def __init__(self, folder):
        self.folder, self.faults, self.number, self.tags = pathlib.Path(folder), None, 0, {}
        self.lock, self.done, self.keys = threading.Lock(), threading.Event(), None
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 20

            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # connections that the other side closes
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def address(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def close(self):
        self.done.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        with self.lock:
            self.number += 1
            number = self.number
        path = urllib.parse.unquote(request.path.partition("?")[0]).lstrip("/")
        file = self.folder / path
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        fault = self.faults(number, path, span and span[0]) if self.faults else None
        if self.keys and not self.is_signed(request):
            return self.send(request, 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if fault and fault[0] == "status":
            return self.send(request, fault[1], b"", fault[2])
        if not file.is_file():
            return self.send(request, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        size = file.stat().st_size
        if not span or fault and fault[0] == "whole":
            return self.send(request, 200, file.read_bytes())
        first, last = int(span[1]), min(int(span[2]), size - 1)
        if first >= size:
            return self.send(request, 416, b"", {"Content-Range": f"bytes */{size}"})
        with open(file, "rb") as content:
            content.seek(first)
            body = content.read(last - first + 1)
        shown = first + 1 if fault and fault[0] == "other range" else first
        headers = {"Content-Range": f"bytes {shown}-{last}/{size}", "ETag": self.tags.get(path, f'"{size}"')}
        self.send(request, 206, body, headers, fault and fault[0])

    def send(self, request, status, body, headers=None, fault=None):
        if fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        if fault in ("cut", "stall"):
            body, request.close_connection = body[:len(body) // 2], True
        request.wfile.write(body)
        request.wfile.flush()
        if fault == "stall":
            self.done.wait(60)

    def is_signed(self, request):
        """By AWS Signature Version 4, with self.keys = {id: secret}."""
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)",
                             request.headers.get("Authorization", ""))
        if not found or found[1] not in self.keys:
            return False
        key_id, day, region, names, signature = found.groups()
        needed = {"host", "x-amz-content-sha256", *(name.lower() for name in request.headers if name.lower().startswith("x-amz-"))}
        if not needed <= set(names.split(";")):
            return False
        headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names.split(";"))
        content = request.headers["x-amz-content-sha256"]
        canonical = "\n".join(["GET", request.path.partition("?")[0], request.path.partition("?")[2], headers, names, content])
        scope = f"{day}/{region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = b"AWS4" + self.keys[key_id].encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)


if __name__ == "__main__":
    served = FileServer(sys.argv[1])
    for _ in sys.stdin:
        print(json.dumps({"port": served.port}), flush=True)
