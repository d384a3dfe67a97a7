// RTv1 as the format's description has it, by Node's own crypto: what a service in TypeScript reads and writes.
// One JSON command to a line: {"do": "seal" | "open", "key": hex, "named": hex, "sizes": […]} or {…, "values": [base64 …]}.
// A plaintext of n bytes is the first n of 0, 7, 14, … modulo 256, so only its size travels.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

const PREFIX = Buffer.from("RTv1\0", "latin1");

function pattern(size) {
  return Buffer.from(Uint8Array.from({ length: size }, (_, index) => (index * 7) % 256));
}

function seal(key, named, plaintext) {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(named.length);
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  return Buffer.concat([PREFIX, size, named, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(key, named, frame) {
  if (!frame.subarray(0, 5).equals(PREFIX)) throw new Error("another prefix");
  const end = 7 + frame.readUInt16BE(5);
  if (!frame.subarray(7, end).equals(named)) throw new Error("another data key");
  const decipher = createDecipheriv("aes-256-gcm", key, frame.subarray(end, end + 12));
  decipher.setAuthTag(frame.subarray(-16));
  return Buffer.concat([decipher.update(frame.subarray(end + 12, -16)), decipher.final()]);
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const [key, named] = [command.key, command.named].map((text) => Buffer.from(text, "hex"));
  if (command.do === "seal") {
    for (const size of command.sizes) console.log(seal(key, named, pattern(size)).toString("base64"));
  } else {
    for (const value of command.values) {
      const plaintext = open(key, named, Buffer.from(value, "base64"));
      console.log(plaintext.equals(pattern(plaintext.length)) ? plaintext.length : "other bytes");
    }
  }
}
