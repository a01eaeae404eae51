// Certificates for tests, made when they run: an authority, and what it issues for names and
// addresses. X.509 version 3 with ECDSA on P-256, valid for a day (RFC 5280 section 4.1).

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export interface Issued {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Names {
  readonly dns?: readonly string[];
  /** IPv4. */
  readonly addresses?: readonly string[];
}

const dayMs = 86_400_000;

export class Authority {
  readonly cert: string;
  private readonly privateKey: KeyObject;

  constructor(private readonly name = "authority of a test") {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.privateKey = privateKey;
    this.cert = this.certificate(name, publicKey, [basicConstraints(true)]);
  }

  /** A key and a certificate for these names, usable by servers and clients. */
  issue(subject: string, names: Names = {}): Issued {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const extensions = [basicConstraints(false)];
    const { dns = [], addresses = [] } = names;
    if (dns.length + addresses.length > 0) extensions.push(alternativeNames(dns, addresses));
    return {
      cert: this.certificate(subject, publicKey, extensions),
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  }

  private certificate(subject: string, publicKey: KeyObject, extensions: readonly Buffer[]): string {
    const algorithm = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
    const serial = randomBytes(8);
    serial[0] = (serial[0]! & 0x7f) | 0x40;
    const content = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      der(0x02, serial),
      algorithm,
      distinguishedName(this.name),
      sequence(time(Date.now() - dayMs), time(Date.now() + dayMs)),
      distinguishedName(subject),
      publicKey.export({ type: "spki", format: "der" }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign("sha256", content, this.privateKey);
    const whole = sequence(content, algorithm, der(0x03, Buffer.from([0]), signature));
    const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
    return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
  }
}

/** One value of the distinguished encoding rules (ITU-T X.690), of less than 64 KiB. */
function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

function sequence(...parts: Uint8Array[]): Buffer {
  return der(0x30, ...parts);
}

function oid(...bytes: number[]): Buffer {
  return der(0x06, Buffer.from(bytes));
}

/** Only a common name. */
function distinguishedName(text: string): Buffer {
  return sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(text, "utf8")))));
}

function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/\D/g, "");
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`, "latin1"));
}

function extension(name: Buffer, value: Buffer): Buffer {
  return sequence(name, der(0x04, value));
}

function basicConstraints(authority: boolean): Buffer {
  const value = authority ? sequence(der(0x01, Buffer.from([0xff]))) : sequence();
  return extension(oid(0x55, 0x1d, 0x13), value);
}

function alternativeNames(dns: readonly string[], addresses: readonly string[]): Buffer {
  const names = [
    ...dns.map((name) => der(0x82, Buffer.from(name, "latin1"))),
    ...addresses.map((address) => der(0x87, Buffer.from(address.split(".").map(Number)))),
  ];
  return extension(oid(0x55, 0x1d, 0x11), sequence(...names));
}
