"""`pixart caption` over TLS with a certificate of a private authority: refused at once without --ca-file, with the advice, and
used with it, from the option or from the environment.
Usage: caption_tls_test.py PIXART"""
import http.server
import json
import os
import pathlib
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

PIXART = sys.argv[1]
requests = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        requests.append(body)
        answer = json.dumps({'choices': [{'message': {'content': f'An image, number {len(requests)}.'}}]}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def png(grey):
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    rows = b''.join(b'\0' + bytes([grey] * 8) for _ in range(8))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 8, 8, 8, 0, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
                    'subjectAltName=DNS:localhost', '-keyout', 'key.pem', '-out', 'ca.pem'], cwd=root, check=True, capture_output=True)
    (root / 'in').mkdir()
    for i in range(2):
        (root / f'in/{i}.png').write_bytes(png(100 * i))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(root / 'ca.pem', root / 'key.pem')
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def caption(out, *more, **variables):
        env = {k: v for k, v in os.environ.items() if k not in ('CURL_CA_BUNDLE', 'SSL_CERT_FILE', 'OPENAI_API_KEY')} | variables
        run = subprocess.run([PIXART, 'caption', 'in', '--endpoint', f'https://localhost:{server.server_address[1]}/v1', '--model', 'm',
                              '--out', out, *more], cwd=root, env=env, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout + run.stderr

    code, text = caption('plain')
    assert code == 78 and '--ca-file' in text and not requests, (code, text)
    code, text = caption('option', '--ca-file', 'ca.pem')
    assert code == 0 and '2 of 2 images captioned' in text, (code, text)
    for name in ('CURL_CA_BUNDLE', 'SSL_CERT_FILE'):
        code, text = caption(name, **{name: str(root / 'ca.pem')})
        assert code == 0, (code, text)
    assert len(requests) == 6, len(requests)
    code, text = caption('none', '--ca-file', 'none.pem')
    assert code == 78 and 'none.pem' in text, (code, text)
    code, text = caption('key', '--ca-file', 'key.pem')  # a file without a certificate
    assert code == 78 and '--ca-file' in text, (code, text)
    assert len(requests) == 6, len(requests)
