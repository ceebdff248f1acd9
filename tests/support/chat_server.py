#!/usr/bin/env python3
"""A small OpenAI-compatible chat endpoint that misbehaves on purpose. Python standard library only.

    chat_server.py PORT_FILE [--key KEY] [--slow SECONDS] [--good] [--log FILE]

Writes its port to PORT_FILE. What a picture gets follows from the bytes of its request alone: the caption, and which fault comes
first (429 with Retry-After, 500, a hang, a closed connection, half an answer, wrong JSON), so that two runs end with the same
captions. Pictures of some hashes are answered for good with an empty, a cut or a declining answer, or HTTP 400. --good: no faults.
--log: one line per request with its Authorization header.
"""
import argparse
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("port_file")
parser.add_argument("--key", default="")
parser.add_argument("--slow", type=float, default=0.0)
parser.add_argument("--good", action="store_true")
parser.add_argument("--log", default="")
arguments = parser.parse_args()
attempts, lock = {}, threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=()):
        data = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if arguments.log:
            with lock, open(arguments.log, "a") as file:
                file.write(f"{self.path} {self.headers.get('Authorization', '-')}\n")
        if arguments.key and self.headers.get("Authorization") != f"Bearer {arguments.key}":
            return self.reply(401, json.dumps({"error": {"message": "wrong key"}}))
        if self.path != "/v1/chat/completions":
            return self.reply(404, "{}")
        digest = hashlib.sha256(body).hexdigest()
        with lock:
            attempts[digest] = attempts.get(digest, 0) + 1
            attempt = attempts[digest]
        time.sleep(arguments.slow)
        kind = int(digest[:4], 16) % 24
        if not arguments.good and attempt == 1:
            if kind == 0:
                return self.reply(429, "{}", [("Retry-After", "0")])
            if kind == 1:
                return self.reply(500, "oops")
            if kind == 2:
                time.sleep(3)  # longer than the client waits
                self.close_connection = True
                return None
            if kind == 3:
                self.close_connection = True
                return None
            if kind == 4:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                self.close_connection = True
                return None
            if kind == 5:
                return self.reply(200, '{"choices": "none"}')
            if kind == 6:
                return self.reply(503, "{}", [("Retry-After", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))])
        text, finish = f"A picture of hash {digest[:8]}, described in detail.", "stop"
        if not arguments.good:
            if kind == 10:
                text = "  "
            if kind == 11:
                finish = "length"
            if kind == 12:
                text = "I\u2019m sorry, but I cannot describe this image."
            if kind == 13:
                return self.reply(400, json.dumps({"error": {"message": "this picture is not accepted"}}))
        message = {"role": "assistant", "content": text}
        return self.reply(200, json.dumps({
            "model": "tests-own",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 7, "completion_tokens": len(text.split())},
        }))

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(arguments.port_file + ".new", "w") as file:
    file.write(str(server.server_address[1]))

os.replace(arguments.port_file + ".new", arguments.port_file)
server.serve_forever()
