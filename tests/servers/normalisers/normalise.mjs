// Reads paths, a line of hexadecimal digits each, and prints what each normaliser of Node makes of them; "!" if it
// refuses. The first line has the names of those that read paths, the second of those that write URLs.
import { createInterface } from "node:readline";
import { posix } from "node:path";
import { unescape as unescapeQuery } from "node:querystring";
import { parse, resolve } from "node:url";

const readers = {
  URL: (path) => new URL(path, "http://h/x/y").pathname,
  "URL of a URL": (path) => new URL("http://h" + path).pathname,
  "URL, another scheme": (path) => new URL("x://h" + path).pathname,
  decodeURI,
  decodeURIComponent,
  unescape,
  querystring: unescapeQuery,
  "path.posix.normalize": posix.normalize,
  "path.posix.resolve": (path) => posix.resolve("/", path),
  NFC: (path) => path.normalize("NFC"),
  NFKC: (path) => path.normalize("NFKC"),
};
const writers = {
  encodeURI,
  "url.parse": (path) => parse(path).pathname,
  "url.resolve": (path) => resolve("/x/y", path),
};

const write = (words) => console.log(words.map((word) => Buffer.from(word).toString("hex")).join(" "));
write(Object.keys(readers));
write(Object.keys(writers));
for await (const line of createInterface({ input: process.stdin })) {
  const path = Buffer.from(line, "hex").toString();
  const results = Object.values({ ...readers, ...writers }).map((normalise) => {
    try {
      return Buffer.from(normalise(path)).toString("hex");
    } catch {
      return "!";
    }
  });
  console.log(results.join(" "));
}
