// The fake Restate Cloud of `public.py`, on the HTTP/2 of Node (nghttp2): tunnel servers, and the public URL before them.
// One JSON command to a line in, `{"harm": NAME, "line": NUMBER}`, answered by `{"done": …}`; the state of a line is
// printed whenever it has changed.
import { connect, constants, createServer } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { createInterface } from "node:readline";

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR } = constants;
const [, , count, mount] = process.argv;
const lines = [];
let turn = 0;

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** One connection that a tunnel dialled; we are the client on it. */
class Line {
  accepted = false;
  draining = false;
  lost = false;
  forwarded = 0;
  streams = new Set();

  constructor(socket) {
    this.number = lines.push(this) - 1;
    this.socket = socket;
    this.session = connect("http://tunnel.test", { createConnection: () => socket });
    this.session.on("error", () => {}); // it breaks, as connections do
    this.session.on("goaway", () => this.changed());
    this.session.on("close", () => {
      this.lost = true;
      this.changed();
    });
    this.handshake();
  }

  handshake() {
    const hello = this.session.request({ ":path": "/_/start-tunnel" }, { endStream: false, waitForTrailers: true });
    let name = "";
    hello.on("error", () => {});
    hello.on("response", (headers) => {
      name = headers["tunnel-name"];
      hello.end();
    });
    hello.on("wantTrailers", () => {
      const urls = { "proxy-url": proxyUrl, "tunnel-url": "https://tunnel.test/environment/greeter" };
      hello.sendTrailers({ "tunnel-status": "ok", "tunnel-name": name, ...urls });
      this.accepted = true;
      this.changed();
    });
    hello.resume();
  }

  get inUse() {
    return this.accepted && !this.draining && !this.session.closed && !this.session.destroyed;
  }

  changed() {
    say({ line: this.number, in_use: this.inUse, lost: this.lost, forwarded: this.forwarded });
  }

  forward(caller, { ":path": path, ":authority": _, host: __, ...headers }) {
    const stream = this.session.request(
      { ...headers, ":authority": "tunnel.test", ":path": path.slice(mount.length) },
      { endStream: false },
    );
    this.forwarded += 1;
    this.streams.add(stream);
    this.changed();
    stream.on("error", () => {}); // "close" comes as well
    stream.on("response", (response) => {
      if (gone(caller)) return;
      caller.respond(response);
      stream.pipe(caller);
    });
    stream.on("close", () => {
      this.streams.delete(stream);
      caller.unpipe(stream).resume(); // what is still sent is read and thrown away
      if (gone(caller)) return;
      // A stream that was reset with NO_ERROR before it had a response has ended, too.
      if (!caller.headersSent) refuse(caller, 502);
      else if (!stream.readableEnded) caller.close(NGHTTP2_INTERNAL_ERROR);
    });
    caller.on("close", () => stream.close(NGHTTP2_CANCEL));
    caller.pipe(stream);
  }

  kill() {
    this.socket.destroy();
    return true;
  }

  async drain() {
    this.draining = true;
    this.changed();
    const stream = this.session.request({ ":path": "/_/drain-tunnel" });
    stream.on("error", () => {});
    stream.resume();
    await new Promise((done) => stream.on("close", done));
    return true;
  }

  goaway() {
    this.draining = true;
    this.changed();
    this.session.goaway();
    return true;
  }

  give_up() {
    const happens = this.streams.size > 0;
    for (const stream of this.streams) stream.close(NGHTTP2_CANCEL);
    return happens;
  }
}

function gone(caller) {
  return caller.destroyed || caller.closed;
}

function refuse(caller, status) {
  caller.respond({ ":status": status }, { endStream: true });
}

function listening(server) {
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
}

const front = createServer();
front.on("sessionError", () => {});
front.on("stream", (caller, headers) => {
  caller.on("error", () => {});
  const usable = lines.filter((line) => line.inUse);
  if (usable.length === 0 || !headers[":path"].startsWith(mount)) refuse(caller, 503);
  else usable[turn++ % usable.length].forward(caller, headers);
});
const proxyUrl = `http://127.0.0.1:${await listening(front)}${mount}`;

const servers = [];
for (let number = 0; number < Number(count); number += 1) {
  servers.push(`http://127.0.0.1:${await listening(createTcpServer((socket) => new Line(socket)))}`);
}
say({ proxy_url: proxyUrl, servers });

for await (const text of createInterface({ input: process.stdin })) {
  const { harm, line } = JSON.parse(text);
  say({ done: lines[line].inUse && (await lines[line][harm]()) });
}
process.exit(); // nobody needs it any more
